//! Two connections that became plain streams, copied into each other. Either side may end its half and still read: a
//! client ends its standard input, and reads the output to its end.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::time::timeout;

/// What a client may still send after the daemon said its last word. The daemon ends its half when the process or the
/// attachment is over (moby, api/server/httputils, CloseStreams), so that nothing is waited for.
const AFTER_THE_END: Duration = Duration::from_secs(10);

/// Ends when the daemon has ended and the client too, or is not waited for any more.
pub(super) async fn join<C, D>(client: C, daemon: D)
where
    C: AsyncRead + AsyncWrite,
    D: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_daemon, mut to_daemon) = split(daemon);
    // A side that is gone ends a copy with an error: that it ended is all there is to know.
    let up = async {
        let _ = copy(&mut from_client, &mut to_daemon).await;
        let _ = to_daemon.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut from_daemon, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut up => down.await,
        () = &mut down => {
            let _ = timeout(AFTER_THE_END, up).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_client_that_ended_its_input_still_reads_the_output() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (far, mut daemon) = UnixStream::pair().unwrap();
        let joined = tokio::spawn(join(near, far));
        client.write_all(b"in").await.unwrap();
        client.shutdown().await.unwrap();
        let mut input = String::new();
        daemon.read_to_string(&mut input).await.unwrap();
        assert_eq!(input, "in", "the daemon sees the end of the input");
        daemon.write_all(b"out").await.unwrap();
        drop(daemon);
        let mut output = String::new();
        client.read_to_string(&mut output).await.unwrap();
        assert_eq!(output, "out");
        joined.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stays_is_let_go_when_the_daemon_has_ended() {
        let (mut client, near) = UnixStream::pair().unwrap();
        let (far, daemon) = UnixStream::pair().unwrap();
        let joined = tokio::spawn(join(near, far));
        drop(daemon);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        joined.await.unwrap();
        assert!(client.write_all(b"more").await.is_err());
    }
}
