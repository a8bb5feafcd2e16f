//! `scgi request --upgrade` and the tunnels of `scgi echo`.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::{EchoServer, RUNTIMES, Run, scgi, scgi_with, text};
use crate::websocket_app::App;
use crate::websocket_client;
use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use scgi_tests::process::scratch_dir;
use tokio::task::spawn_blocking;

/// The response of a server that takes the upgrade.
const SWITCH: &[u8] = b"Status: 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";

/// Bytes of every value, without a pattern that a buffer's length could hide.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A server that does this with its one connection, once it has the request.
fn server(serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = vec![0; 65_536];
        let _ = stream.read(&mut request).expect("a request");
        serve(stream);
    });
    address
}

/// The program with a standard input that stays open until it is dropped.
fn start(args: &[&str]) -> Child {
    let mut command = Command::new(scgi_tests::programs::scgi());
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}

/// Waits for its end, with its standard input still open.
fn end(mut child: Child) -> Run {
    let stdin = child.stdin.take();
    let run = child.wait_with_output().expect("its end").into();
    drop(stdin);
    run
}

fn is_same(run: &Run, sent: &[u8], what: &str) {
    assert_eq!(run.code, Some(0), "{what}: {}", run.stderr);
    assert_eq!(run.stdout.len(), sent.len(), "{what}: {}", run.stderr);
    // Not `assert_eq!`, which would print them.
    assert!(run.stdout == sent, "{what}: changed on the way");
}

#[test]
fn all_bytes_come_back_on_each_runtime() {
    let folder = scratch_dir().expect("a folder");
    let sent = noise(300_000);
    for runtime in RUNTIMES {
        let path = folder.path().join(runtime);
        for listen in ["127.0.0.1:0", text(&path)] {
            let server = EchoServer::start(&["--runtime", runtime, listen]);
            for client in RUNTIMES {
                let args = ["request", "--runtime", client, &server.address, "--upgrade", "x"];
                is_same(&scgi_with(args, &sent), &sent, &format!("{runtime}, {client}"));
            }
            server.signal(Signal::TERM);
            let (code, said) = server.wait();
            assert_eq!(code, Some(0), "{runtime}: {said}");
            assert!(said.starts_with("4 served; "), "{runtime}: {said}");
        }
    }
}

#[test]
fn ten_megabytes_in_both_directions() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let folder = scratch_dir().expect("a folder");
    let file = folder.path().join("received");
    let sent = noise(10 << 20);
    let args = ["request", &server.address, "--upgrade", "websocket", "-o", text(&file)];
    let run = scgi_with(args, &sent).ok();
    assert!(run.stdout.is_empty());
    assert!(std::fs::read(&file).expect("a file") == sent, "changed on the way");
}

#[test]
fn the_handshake_is_shown() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    for client in RUNTIMES {
        let args = ["request", "--runtime", client, &server.address, "/chat", "--upgrade"];
        let run = scgi_with([&args[..], &["websocket", "-i", "-v"]].concat(), b"hello").ok();
        let head = "Status: 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(run.text(), format!("{head}hello"), "{client}");
        for line in [
            "> SERVER_PROTOCOL=HTTP/1.1\n",
            "> HTTP_CONNECTION=Upgrade\n",
            "> HTTP_UPGRADE=websocket\n",
            "> HTTP_SEC_WEBSOCKET_VERSION=13\n",
            "> HTTP_SEC_WEBSOCKET_KEY=",
            "< Upgrade: websocket\n",
            "* upgraded: standard input and output are connected to the server\n",
            "* 5 bytes sent and 5 received through the tunnel; head after ",
        ] {
            assert!(run.stderr.contains(line), "{client}: {line}: {}", run.stderr);
        }
    }
    let run = scgi_with(
        ["request", &server.address, "--upgrade", "x", "-w", "%{status} %{bytes}\\n"],
        b"hello",
    );
    assert_eq!(run.ok().text(), "hello101 5\n");
}

#[test]
fn offline_shows_a_valid_upgrade() {
    let run = scgi(["request", "nowhere:1", "--offline", "--upgrade", "websocket"]).ok();
    let shown = run.text();
    for line in ["\nHTTP_CONNECTION=Upgrade\n", "\nHTTP_UPGRADE=websocket\n"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(shown.contains("\nHTTP_SEC_WEBSOCKET_KEY=") && shown.contains("=="), "{shown}");
    // Flags go before what is generated.
    let args = ["-H", "Connection: keep-alive, upgrade", "-p", "HTTP_UPGRADE=y"];
    let args = [&["request", "nowhere:1", "--offline", "--upgrade", "echo/1"][..], &args].concat();
    let run = scgi(args).ok();
    let shown = run.text();
    assert!(shown.contains("\nHTTP_CONNECTION=keep-alive, upgrade\n"), "{shown}");
    assert!(shown.contains("\nHTTP_UPGRADE=y\n") && !shown.contains("WEBSOCKET"), "{shown}");
}

#[test]
fn another_answer_has_a_status_of_its_own() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    // Not valid, so `echo` answers as ever.
    let args = ["request", &server.address, "--upgrade", "x", "-p", "SERVER_PROTOCOL=HTTP/1.0"];
    let run = scgi_with(args, b"not read");
    assert!(run.text().contains("SERVER_PROTOCOL=HTTP/1.0\n"), "{}", run.text());
    run.failed(5, "scgi: the server answered 200 OK and did not upgrade");
    let refusing = |mut stream: TcpStream| {
        stream.write_all(b"Status: 426 Upgrade Required\r\nUpgrade: y\r\n\r\nno").expect("sent");
    };
    let run = scgi(["request", &self::server(refusing), "--upgrade", "x"]);
    assert_eq!(run.text(), "no");
    run.failed(5, "scgi: the server answered 426 Upgrade Required and did not upgrade");
    scgi(["request", &self::server(refusing), "--upgrade", "x", "--fail"])
        .failed(22, "scgi: the server answered 426 Upgrade Required");
}

#[test]
fn a_101_that_was_not_asked_for() {
    let switching = |mut stream: TcpStream| stream.write_all(SWITCH).expect("sent");
    for more in [&[][..], &["--upgrade", "x", "-p", "HTTP_CONNECTION=close"]] {
        let address = server(switching);
        let run = scgi([&["request", &address][..], more].concat());
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(
            run.stderr.contains("does not have a status code from 200 to 999"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_server_that_sends_and_closes() {
    // With the head and behind it; standard input stays open.
    let address = server(|mut stream| {
        stream.write_all(&[SWITCH, b"first"].concat()).expect("sent");
        thread::sleep(Duration::from_millis(50));
        stream.write_all(&noise(200_000)).expect("sent");
    });
    let begun = Instant::now();
    let run = end(start(&["request", &address, "--upgrade", "x"]));
    assert!(run.stdout == [b"first".to_vec(), noise(200_000)].concat());
    run.failed(0, "scgi: the server closed before the end of standard input");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_end_of_standard_input_passes_on() {
    // The answer comes after it.
    let address = server(|mut stream| {
        stream.write_all(SWITCH).expect("sent");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("the end");
        stream.write_all(format!("{} bytes", all.len()).as_bytes()).expect("sent");
    });
    let run = scgi_with(["request", &address, "--upgrade", "x"], &[7; 1000]).ok();
    assert_eq!(run.text(), "1000 bytes");
    // At once.
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let run = scgi(["request", &server.address, "--upgrade", "x"]).ok();
    assert_eq!((run.text(), &*run.stderr), ("", ""));
    // None at all.
    let mut command = Command::new("bash");
    command.args(["-c", "exec \"$@\" <&-", "bash"]).arg(scgi_tests::programs::scgi());
    let run = command.args(["request", &server.address, "--upgrade", "x"]).output();
    Run::from(run.expect("bash runs")).ok();
}

#[test]
fn a_tunnel_that_breaks() {
    let address = server(|mut stream| {
        stream.write_all(&[SWITCH, b"half"].concat()).expect("sent");
        // So that it is read before the reset.
        thread::sleep(Duration::from_millis(200));
        set_socket_linger(&stream, Some(Duration::ZERO)).expect("an option");
    });
    let run = end(start(&["request", &address, "--upgrade", "x"]));
    assert_eq!(run.text(), "half");
    run.failed(1, "scgi: the tunnel broke: Connection reset by peer (os error 104)");

    // It takes a part of the input.
    let address = server(|mut stream| {
        stream.write_all(SWITCH).expect("sent");
        stream.read_exact(&mut [0; 1000]).expect("a part");
    });
    let run = scgi_with(["request", &address, "--upgrade", "x"], &noise(8 << 20));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let is_told = run.stderr.starts_with("scgi: the server did not take all of standard input: ")
        || run.stderr.starts_with("scgi: the tunnel broke: ");
    assert!(is_told, "{}", run.stderr);

    // No one reads the output.
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let mut child = start(&["request", &server.address, "--upgrade", "x"]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("its input");
    while stdin.write_all(&[0; 1000]).is_ok() {}
    let run = Run::from(child.wait_with_output().expect("its end"));
    run.failed(1, "scgi: standard output: Broken pipe (os error 32)");
}

#[test]
fn timeout_of_a_tunnel() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    for client in RUNTIMES {
        let args = [
            "request",
            "--runtime",
            client,
            &server.address,
            "--upgrade",
            "x",
            "--timeout",
            "300ms",
        ];
        let run = end(start(&args));
        let text =
            format!("scgi: {}: the request and its tunnel took longer than 300ms", server.address);
        run.failed(1, &text);
    }
}

#[test]
fn save_keeps_the_tunnel_too() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let folder = scratch_dir().expect("a folder");
    let file = folder.path().join("sent.scgi");
    let args = ["request", &server.address, "--upgrade", "x", "--save", text(&file)];
    assert_eq!(scgi_with(args, b"hello").ok().text(), "hello");
    let decoded = scgi(["decode", text(&file)]).ok();
    assert!(decoded.text().ends_with("body length: 0\nsurplus: 5\n"), "{}", decoded.text());
    let received = std::fs::read(folder.path().join("sent.scgi.cgi")).expect("a file");
    assert!(received.starts_with(b"Status: 101 ") && received.ends_with(b"\r\n\r\nhello"));
    scgi([&args[..], &["--runtime", "blocking"]].concat())
        .failed(1, "scgi: --upgrade with --save needs another --runtime, such as tokio");
}

#[test]
fn usage() {
    for args in [
        &["--upgrade", "x", "-d", "body"][..],
        &["--upgrade", "x", "--repeat", "2"],
        &["--upgrade", "x", "--raw", "file"],
        &["--upgrade", ""],
        &["--upgrade", "a b"],
        &["--upgrade"],
    ] {
        let run = scgi([&["request", "127.0.0.1:1"][..], args].concat());
        assert_eq!(run.code, Some(2), "{args:?}: {}", run.stderr);
    }
}

/// A server of WebSockets by others: its frames pass as they are.
#[tokio::test(flavor = "multi_thread")]
async fn frames_of_an_axum_app() {
    const MASKED: &[u8] = b"\x81\x85\0\0\0\0hello\x89\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8";
    let app = App::start().await;
    for address in [app.tcp.to_string(), format!("unix:{}", app.unix().display())] {
        let uri = if address.starts_with("unix:") { "/unix/echo" } else { "/echo" };
        let run = spawn_blocking(move || {
            scgi_with(["request", &address, uri, "-i", "--upgrade", "websocket"], MASKED).ok()
        });
        let stdout = run.await.expect("no panic").stdout;
        assert!(stdout.starts_with(b"Status: 101 "), "{}", stdout.escape_ascii());
        let frames = b"\r\n\r\n\x81\x05hello\x8a\x02hi\x88\x02\x03\xe8";
        assert!(stdout.ends_with(frames), "{}", stdout.escape_ascii());
    }
    app.wait_until_idle().await;
}

/// A tunnel to `scgi echo`, as a front server opens it.
fn open(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream.write_all(websocket_client::scgi().as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    assert!(head.starts_with(b"Status: 101 "), "{}", head.escape_ascii());
    stream
}

fn echoes(mut stream: &TcpStream) {
    stream.write_all(b"hello").expect("sent");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("an echo");
    assert_eq!(&back, b"hello");
}

#[test]
fn echo_ends_its_tunnels_at_the_shutdown_deadline() {
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "--shutdown-deadline", "500ms", "127.0.0.1:0"];
        let server = EchoServer::start(&args);
        let mut stream = open(&server.address);
        server.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(100));
        // Until then it is as ever.
        echoes(&stream);
        let (code, said) = server.wait();
        assert_eq!(code, Some(1), "{runtime}: {said}");
        assert!(said.ends_with(" 0 finished, 1 aborted\n"), "{runtime}: {said}");
        // Closed or reset.
        assert!(!matches!(stream.read(&mut [0; 9]), Ok(1..)), "{runtime}");

        let server = EchoServer::start(&["--runtime", runtime, "127.0.0.1:0"]);
        let mut stream = open(&server.address);
        server.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(100));
        echoes(&stream);
        stream.shutdown(Shutdown::Write).expect("half a close");
        assert_eq!(stream.read_to_end(&mut Vec::new()).expect("the end"), 0, "{runtime}");
        let (code, said) = server.wait();
        assert_eq!(code, Some(0), "{runtime}: {said}");
        assert!(said.ends_with(" finished, 0 aborted\n"), "{runtime}: {said}");
    }
}

#[test]
fn echo_leaves_h2c_alone() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let args = ["request", &server.address, "--upgrade"];
    let run = scgi([&args[..], &["h2c", "-H", "HTTP2-Settings: AAMAAABk"]].concat());
    assert!(run.text().contains("HTTP_UPGRADE=h2c\n"), "{}", run.text());
    run.failed(5, "scgi: the server answered 200 OK and did not upgrade");
    let run = scgi_with([&args[..], &["h2c, x", "-i"]].concat(), b"").ok();
    assert!(run.text().contains("\r\nUpgrade: x\r\n"), "{}", run.text());
}

/// More than it serves at once, and all at the same time: each has its turn.
#[test]
fn echo_with_a_flood_of_upgrades_at_its_cap() {
    const FLOOD: usize = 60;
    for runtime in RUNTIMES {
        let args = ["--runtime", runtime, "--max-connections", "4", "127.0.0.1:0"];
        let server = EchoServer::start(&args);
        let address = server.address.as_str();
        thread::scope(|scope| {
            for _ in 0..FLOOD {
                scope.spawn(|| {
                    let stream = open(address);
                    echoes(&stream);
                });
            }
        });
        scgi(["request", &server.address]).ok();
        server.signal(Signal::TERM);
        let (code, said) = server.wait();
        assert_eq!(code, Some(0), "{runtime}: {said}");
        // The last one may not have been noticed to be over.
        let served = format!("{} served; ", FLOOD + 1);
        assert!(said.starts_with(&served) && said.ends_with(" finished, 0 aborted\n"), "{said}");
    }
}

#[test]
fn echo_and_peers_that_leave() -> io::Result<()> {
    for runtime in RUNTIMES {
        let server = EchoServer::start(&["--runtime", runtime, "127.0.0.1:0"]);
        for round in 0..40 {
            // Right after the 101, with a reset in each second round.
            let stream = open(&server.address);
            if round % 2 == 0 {
                set_socket_linger(&stream, Some(Duration::ZERO))?;
            }
            drop(stream);
            // Before it.
            let mut stream = TcpStream::connect(&server.address)?;
            stream.write_all(websocket_client::scgi().as_bytes())?;
        }
        scgi(["request", &server.address]).ok();
        server.signal(Signal::TERM);
        let (code, said) = server.wait();
        assert_eq!(code, Some(0), "{runtime}: {said}");
    }
    Ok(())
}
