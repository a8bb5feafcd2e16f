//! What becomes of a connection after a 101: it leaves the task that has answered it, and keeps its
//! place.

use core::any::Any;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::boxed::Box;
use std::sync::Arc;

use super::running::Server;
use super::runtime::Runtime;
use super::task_set::{HandOver, Member};
use crate::driver::{Clock, Connection, Lease, Transport, UpgradeProgram};
use crate::shutdown::{Shutdown, ShutdownSignal};

/// Hands the connection over to the program: in a task of its own, without anything of the one that
/// has answered the request, but with its place.
#[cold]
pub(super) fn hand_over<T, C, R, H>(
    connection: Connection<T, C>,
    program: Box<UpgradeProgram>,
    server: Arc<Server<R, H>>,
) -> HandOver
where
    T: Transport + Send + 'static,
    C: Clock + Send + 'static,
    R: Runtime,
    H: Send + Sync + 'static,
{
    Box::new(move |place| {
        if let Some(task) = run(connection, program, &server.cut, place) {
            server.runtime.spawn(task);
        }
    })
}

fn run<T, C>(
    connection: Connection<T, C>,
    program: Box<UpgradeProgram>,
    cut: &Shutdown,
    mut place: Member,
) -> Option<UpgradeTask>
where
    T: Transport + Send + 'static,
    C: Clock + Send + 'static,
{
    place.leave_task();
    // The place is the program's until it has ended, and the connection's until that is closed,
    // wherever the program has put it.
    let place: Arc<dyn Any + Send + Sync> = Arc::new(place);
    let lease = Lease { cut: Some(cut.clone()), place: Some(Arc::clone(&place)) };
    let io = connection.into_leased(lease).ok()?;
    Some(UpgradeTask { run: Box::pin(program.run(io)), cut: cut.signal(), _place: place })
}

/// The program of an upgraded connection, until the server abandons it.
struct UpgradeTask {
    // Dropped before its place is given up.
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
    cut: ShutdownSignal,
    _place: Arc<dyn Any + Send + Sync>,
}

impl Future for UpgradeTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.cut).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        self.run.as_mut().poll(cx)
    }
}
