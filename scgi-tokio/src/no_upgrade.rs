//! Without the feature `upgrade`: logs that an upgrade was asked for, and does nothing else.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;

use ::http::Extensions;
use scgi_proto::RequestHead;
use scgi_proto::driver::trace::Trace;

/// There is none.
#[derive(Debug)]
pub(crate) struct PendingUpgrade<S> {
    never: Infallible,
    stream: PhantomData<S>,
}

impl<S> PendingUpgrade<S> {
    pub(crate) fn may_begin(head: &RequestHead) -> bool {
        if let Some(offer) = head.upgrade() {
            Trace::upgrade_unsupported(offer);
        }
        false
    }

    pub(crate) fn offer(_: &mut Extensions) -> Option<Box<Self>> {
        None
    }

    pub(crate) fn complete(self, _: S) -> io::Result<()> {
        match self.never {}
    }
}
