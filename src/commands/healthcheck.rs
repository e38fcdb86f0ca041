//! `healthcheck`: asks the daemon on this machine whether it is alive, for containers that have no shell and no curl.

use super::{EXIT_FAILURE, EXIT_OK};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest time that the whole question may take; container runtimes give up after 3 to 30 seconds themselves.
const DEADLINE: Duration = Duration::from_secs(2);

/// Enough for a status line.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Asks `/-/healthy` at the daemon's own address and returns the exit code; a reason for 1 goes to `output`.
///
/// # Errors
/// When `output` cannot be written.
pub async fn run(listen: SocketAddr, mut output: impl Write) -> std::io::Result<u8> {
    let address = reachable(listen);
    let answer = tokio::time::timeout(DEADLINE, ask(address)).await;
    let problem = match answer {
        Ok(Ok(status)) if status == "200" => return Ok(EXIT_OK),
        Ok(Ok(status)) => format!("http://{address}/-/healthy answered {status}"),
        Ok(Err(error)) => format!("http://{address}/-/healthy cannot be asked: {error}"),
        Err(_) => format!(
            "http://{address}/-/healthy did not answer within {} s",
            DEADLINE.as_secs()
        ),
    };
    writeln!(output, "{problem}")?;
    Ok(EXIT_FAILURE)
}

/// Where a listener on `listen` is reached from the same machine: a wildcard address is no destination.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let host = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(host, listen.port())
}

/// The status code of the answer as text, empty when there was none.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = match TcpStream::connect(address).await {
        // A wildcard listener may have been bound to IPv4 alone where IPv6 is switched off.
        Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST) => {
            TcpStream::connect(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())).await?
        }
        connected => connected?,
    };
    stream
        .write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.split(' ').nth(1).unwrap_or_default().chars().take(3).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn against(answer: &'static str) -> (u8, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /-/healthy "));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let mut output = Vec::new();
        let code = run(address, &mut output).await.unwrap();
        server.await.unwrap();
        (code, String::from_utf8(output).unwrap())
    }

    #[tokio::test]
    async fn healthy_is_silent() {
        assert_eq!(
            against("HTTP/1.1 200 OK\r\n\r\nHealthy").await,
            (EXIT_OK, String::new())
        );
    }

    #[tokio::test]
    async fn unhealthy_says_so() {
        let (code, output) = against("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        assert_eq!(code, EXIT_FAILURE);
        assert!(output.contains("answered 503"), "{output}");
    }

    #[tokio::test]
    async fn nobody_there_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut output = Vec::new();
        assert_eq!(run(address, &mut output).await.unwrap(), EXIT_FAILURE);
        assert!(String::from_utf8(output).unwrap().contains("cannot be asked"));
    }

    #[test]
    fn wildcards_become_loopback() {
        assert_eq!(reachable("0.0.0.0:9121".parse().unwrap()).to_string(), "127.0.0.1:9121");
        assert_eq!(reachable("[::]:9121".parse().unwrap()).to_string(), "[::1]:9121");
    }
}
