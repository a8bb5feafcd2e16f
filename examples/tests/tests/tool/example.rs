//! The example programs, beside the tests.

pub(crate) use scgi_tests::programs::example;
