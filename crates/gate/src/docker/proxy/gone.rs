//! Whether whoever asked is still there. A client that only ended its half of the connection waits for an answer; one
//! that closed it, or died, does not, and what was begun for it (a log that is followed, say) would stay for ever.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A second descriptor of a connection, of which only the hang-up is looked at.
pub(super) struct Gone(AsyncFd<OwnedFd>);

impl Gone {
    pub(super) fn of(connection: &impl AsFd) -> io::Result<Gone> {
        let again = connection.as_fd().try_clone_to_owned()?;
        // EPOLLHUP is reported whatever is asked for (epoll_ctl(2)), on a Unix socket when both halves are shut (unix_poll,
        // net/unix/af_unix.c). To ask for nothing but urgent data, which there never is here, leaves this the only event.
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types whose descriptor may change; OwnedFd's does not"
        )]
        let watched = AsyncFd::with_interest(again, Interest::PRIORITY)?;
        Ok(Gone(watched))
    }

    /// Returns when the other side has closed the connection.
    pub(super) async fn wait(&self) {
        // An error would be one of the runtime, which then ends with all connections.
        let _ = self.0.ready(Interest::PRIORITY).await.map(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_closed_connection_is_gone_and_a_half_closed_one_is_not() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let gone = Gone::of(&server).unwrap();
        client.write_all(b"not read by anybody").await.unwrap();
        client.shutdown().await.unwrap();
        assert!(timeout(Duration::from_millis(200), gone.wait()).await.is_err(), "it only ended its half");
        drop(client);
        timeout(Duration::from_secs(10), gone.wait()).await.expect("it closed");
    }
}
