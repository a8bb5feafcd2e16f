//! `scgi request`, against `scgi echo` and servers that misbehave.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::{EchoServer, RUNTIMES, Run, scgi, scgi_with, text, vector};
use scgi_tests::front::Front;
use scgi_tests::process::{required, scratch_dir};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn json(run: Run) -> Value {
    serde_json::from_slice(&run.ok().stdout).expect("JSON")
}

/// The values of a param.
fn param(json: &Value, name: &str) -> Vec<String> {
    let pairs = json["params"].as_array().expect("params").iter();
    let values = pairs.filter(|pair| pair[0] == name);
    values.map(|pair| pair[1].as_str().expect("a value").to_string()).collect()
}

/// A server for one connection: reads a little, sends `reply`, and then waits for the client to
/// close, or closes itself.
fn answering(reply: &'static [u8], closes: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut buf = [0; 65_536];
        let _ = stream.read(&mut buf);
        let _ = stream.write_all(reply);
        while !closes && stream.read(&mut buf).is_ok_and(|count| count > 0) {}
    });
    address
}

#[test]
fn round_trip_over_tcp_and_unix() {
    let body: Vec<u8> = (0..300_000_u32).map(|i| (i * 31 % 251) as u8).collect();
    let sum = format!("{:x}", Sha256::digest(&body));
    for runtime in RUNTIMES {
        let folder = scratch_dir().expect("a folder");
        let path = folder.path().join("echo.sock");
        let tcp = EchoServer::json(runtime);
        let unix = EchoServer::start(&["--runtime", runtime, "--json", text(&path)]);
        assert_eq!(unix.address, format!("unix:{}", path.display()));
        for server in [&tcp, &unix] {
            let got = json(scgi(["request", "--runtime", runtime, &server.address, "/a%20b?c=d"]));
            assert_eq!(param(&got, "REQUEST_URI"), ["/a%20b?c=d"]);
            assert_eq!(param(&got, "REQUEST_METHOD"), ["GET"]);
            assert_eq!((&got["content_length"], &got["body_length"]), (&0.into(), &0.into()));

            let args = ["request", "--runtime", runtime, &server.address, "-d", "@-"];
            let got = json(scgi_with(args, &body));
            assert_eq!(param(&got, "REQUEST_METHOD"), ["POST"]);
            assert_eq!(got["body_length"], body.len(), "{runtime}");
            assert_eq!(got["body_sha256"], sum, "{runtime}");
        }
    }
}

#[test]
fn the_echo_is_what_decode_shows() {
    let capture = vector("nginx/post_bin_4k", "scgi");
    let decoded = json(scgi(["decode", "--json", text(&capture)]));
    for runtime in RUNTIMES {
        let server = EchoServer::json(runtime);
        let echoed = json(scgi(["request", &server.address, "--raw", text(&capture)]));
        for key in ["params", "content_length", "body_length"] {
            assert_eq!(echoed[key], decoded[key], "{key}");
        }
    }
}

#[test]
fn echo_in_text() {
    let server = EchoServer::start(&["127.0.0.1:0"]);
    let run = scgi(["request", &server.address, "-i", "-d", "hello"]).ok();
    assert!(run.text().starts_with("Status: 200 OK\r\nContent-Type: text/plain"), "{}", run.text());
    let sum = format!("body sha256: {:x}\n", Sha256::digest(b"hello"));
    assert!(run.text().contains("\r\n\r\nCONTENT_LENGTH=5\nSCGI=1\n"), "{}", run.text());
    assert!(run.text().ends_with(&sum), "{}", run.text());
}

#[test]
fn headers_and_params() {
    let server = EchoServer::json("tokio");
    let request = |more: &[&str]| json(scgi([&["request", &server.address][..], more].concat()));
    let got = request(&[
        "-H",
        "X-A: 1",
        "-H",
        "x-a:2",
        "-H",
        "Host: h",
        "-p",
        "SERVER_PORT=81",
        "-p",
        "NEW=a=b",
        "-X",
        "PROPFIND",
    ]);
    assert_eq!(param(&got, "HTTP_X_A"), ["1", "2"]);
    assert_eq!(param(&got, "HTTP_HOST"), ["h"]);
    assert_eq!(param(&got, "SERVER_PORT"), ["81"]);
    assert_eq!(param(&got, "NEW"), ["a=b"]);
    assert_eq!(param(&got, "REQUEST_METHOD"), ["PROPFIND"]);
    assert!(param(&got, "CONTENT_TYPE").is_empty());

    assert_eq!(
        param(&request(&["-d", "a=b"]), "CONTENT_TYPE"),
        ["application/x-www-form-urlencoded"]
    );
    let xml = ["text/xml".to_string()];
    assert_eq!(param(&request(&["-d", "x", "-H", "content-type: text/xml"]), "CONTENT_TYPE"), xml);
    assert_eq!(param(&request(&["-d", "x", "-p", "CONTENT_TYPE=text/xml"]), "CONTENT_TYPE"), xml);
    assert_eq!(request(&["-d", "-5"])["body_length"], 2);
}

#[test]
fn params_from_a_file() {
    let server = EchoServer::json("tokio");
    let folder = scratch_dir().expect("a folder");
    let file = folder.path().join("params");
    fs::write(
        &file,
        b"# as nginx has them\r\n\nNAME=of=file\nSERVER_PORT=81\r\nBYTES=\xe9\nLAST=\n",
    )
    .expect("a file");
    let run = |more: &[&str]| {
        scgi([&["request", &server.address, "--param-file", text(&file)][..], more].concat())
    };
    let got = json(run(&["-p", "SERVER_PORT=82"]));
    for (name, value) in
        [("NAME", "of=file"), ("SERVER_PORT", "82"), ("BYTES", "\u{e9}"), ("LAST", "")]
    {
        assert_eq!(param(&got, name), [value]);
    }
    fs::write(&file, "A=1\nno equals sign\n").expect("a file");
    let place = file.display();
    run(&[]).failed(1, &format!("scgi: {place}:2: a param is NAME=VALUE"));
    fs::remove_file(&file).expect("removed");
    let error = "No such file or directory (os error 2)";
    run(&[]).failed(1, &format!("scgi: {place}: {error}"));
}

#[test]
fn an_http_server_is_told_apart() {
    let reply = b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Length: 3\r\n\r\nbad";
    for runtime in RUNTIMES {
        let address = answering(reply, true);
        let run = scgi(["request", "--runtime", runtime, &address]).ok();
        let hint = format!(
            "scgi: an HTTP server answers on {address}: SCGI has a port or socket of its own\n"
        );
        assert_eq!((run.text(), &run.stderr), ("bad", &hint));
        let address = answering(reply, true);
        let run = scgi(["request", "--runtime", runtime, &address, "--rtorrent", "a"]);
        assert!(run.stderr.contains("an HTTP server answers on"), "{}", run.stderr);
        assert_eq!(run.code, Some(1));
    }
    let run = scgi(["request", &answering(b"Status: 400 Bad Request\r\n\r\n", true)]).ok();
    assert_eq!(run.stderr, "");
    if required("nginx") {
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        let nginx = Front::nginx(nowhere, Path::new("/nowhere.sock")).expect("nginx starts");
        let run = scgi(["request", &format!("127.0.0.1:{}", nginx.port())]).ok();
        assert!(run.stderr.starts_with("scgi: an HTTP server answers on "), "{}", run.stderr);
    }
}

#[test]
fn a_reply_that_is_no_xml_rpc() {
    let call = |reply| scgi(["request", &answering(reply, true), "--rtorrent", "a.b"]);
    call(b"Status: 404 Not Found\r\n\r\n").failed(1, "scgi: the server answered 404 Not Found");
    call(b"Status: 200 OK\r\n\r\n<html></html>")
        .failed(1, "scgi: the reply is not XML-RPC: it is <html>");
    let run = call(b"Status: 200 OK\r\n\r\nhello");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("scgi: the reply is not XML-RPC: "), "{}", run.stderr);
}

/// One character that XML does not allow made the whole reply unreadable.
#[test]
fn characters_that_xml_forbids_are_shown_as_replacements() {
    let call = |reply, more: &[&str]| {
        let address = answering(reply, true);
        scgi([&["request", &address, "--rtorrent", "d.name"], more].concat()).ok()
    };
    let bell =
        b"Status: 200 OK\r\n\r\n<?xml version=\"1.0\"?><methodResponse><params><param><value>\
        <string>two\x07bells\x1b[2J</string></value></param></params></methodResponse>";
    let run = call(bell, &[]);
    assert_eq!(run.text(), "two\u{fffd}bells\u{fffd}[2J\n");
    let warning = "scgi: warning: 2 characters of the reply that XML does not allow are shown as \
        U+FFFD\n";
    assert_eq!(run.stderr, warning);
    let reference = b"Status: 200 OK\r\n\r\n<methodResponse><params><param><value><string>a&#7;\
        &#xFFFE;b</string></value></param></params></methodResponse>";
    assert_eq!(call(reference, &["--json"]).text(), "\"a\u{fffd}\u{fffd}b\"\n");
}

#[test]
fn the_host_agrees_with_the_name_and_port() {
    let server = EchoServer::json("tokio");
    for (more, host) in [
        (&[][..], "localhost"),
        (&["-p", "SERVER_NAME=app.lan", "-p", "SERVER_PORT=8080"], "app.lan:8080"),
        (&["-H", "Host: example.org"], "example.org"),
        (&["-p", "HTTP_HOST=a:1"], "a:1"),
    ] {
        let got = json(scgi([&["request", &server.address], more].concat()));
        assert_eq!(param(&got, "HTTP_HOST"), [host], "{more:?}");
    }
}

#[test]
fn uploads() {
    let folder = scratch_dir().expect("a folder");
    let file = folder.path().join("upload");
    let body = vec![b'u'; 3_000_000];
    fs::write(&file, &body).expect("a file");
    let name = format!("@{}", file.display());
    for runtime in RUNTIMES {
        let server = EchoServer::json(runtime);
        let address = &server.address;
        let put = json(scgi(["request", "--runtime", runtime, address, "-T", text(&file)]));
        let post = json(scgi(["request", "--runtime", runtime, address, "-d", &name]));
        assert_eq!(param(&put, "REQUEST_METHOD"), ["PUT"]);
        for got in [put, post] {
            assert_eq!(got["content_length"], body.len());
            assert_eq!(got["body_sha256"], format!("{:x}", Sha256::digest(&body)), "{runtime}");
        }
    }
    let run = scgi(["request", "127.0.0.1:1", "-T", text(folder.path())]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("has no length to send ahead"), "{}", run.stderr);
    let run = scgi(["request", "127.0.0.1:1", "-d", "@no-such-file"]);
    run.failed(1, "scgi: no-such-file: No such file or directory (os error 2)");
}

#[test]
fn what_is_saved_can_be_sent_again() {
    let folder = scratch_dir().expect("a folder");
    let saved = folder.path().join("exchange");
    for runtime in RUNTIMES {
        let server = EchoServer::json(runtime);
        let args = ["request", "--runtime", runtime, &server.address, "/save", "-d", "body"];
        let first = scgi([&args[..], &["--save", text(&saved)]].concat()).ok();
        let decoded = json(scgi(["decode", "--json", "--strict", text(&saved)]));
        assert_eq!(decoded["body_length"], 4, "{runtime}");
        let reply = fs::read_to_string(folder.path().join("exchange.cgi")).expect("a reply");
        assert!(reply.starts_with("Status: 200"), "{reply}");
        assert!(reply.ends_with(first.text()), "{reply}");
        // Raw bytes use no adapter.
        let again = scgi(["request", &server.address, "--raw", text(&saved)]).ok();
        assert_eq!(again.text(), first.text());
    }
}

#[test]
fn output_and_write_out() {
    let server = EchoServer::json("tokio");
    let folder = scratch_dir().expect("a folder");
    let out = folder.path().join("out");
    let format = r"%{status} %{bytes} %{time_connect} %{time_head} %{time_total}\n";
    let run = scgi(["request", &server.address, "-i", "-o", text(&out), "-w", format]).ok();
    let written = fs::read_to_string(&out).expect("the output");
    let (head, body) = written.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("Status: 200 OK\r\n"), "{head}");
    let figures: Vec<f64> =
        run.text().split_whitespace().map(|word| word.parse().expect("a number")).collect();
    assert_eq!(figures[..2], [200.0, body.len() as f64]);
    assert!(
        figures[2] > 0.0 && figures[2] <= figures[3] && figures[3] <= figures[4],
        "{figures:?}"
    );
}

#[test]
fn a_status_of_400_or_more() {
    let reply = b"Status: 404 Not Found\r\n\r\nno";
    let run = scgi(["request", &answering(reply, true), "--fail"]);
    assert_eq!(run.text(), "no");
    run.failed(22, "scgi: the server answered 404 Not Found");
    assert_eq!(scgi(["request", &answering(reply, true)]).ok().text(), "no");
    scgi(["request", &answering(b"Status: 399 x\r\n\r\n", true), "--fail"]).ok();
    let status_line = answering(b"HTTP/1.1 503 Busy\n\n", true);
    scgi(["request", &status_line, "--fail"]).failed(22, "scgi: the server answered 503 Busy");
}

#[test]
fn timeouts() {
    for runtime in RUNTIMES {
        for reply in [&b""[..], b"Status: 200 OK\r\n", b"Status: 200 OK\r\n\r\nhalf"] {
            let address = answering(reply, false);
            let started = Instant::now();
            let run = scgi(["request", "--runtime", runtime, &address, "--timeout", "300ms"]);
            let took = started.elapsed();
            assert_eq!(run.code, Some(1), "{}", run.stderr);
            let late =
                format!("scgi: {address} sent no complete response within 300ms; it is busy");
            assert!(run.stderr.starts_with(&late), "{}", run.stderr);
            assert!(took > Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
        }
    }
}

#[test]
fn nobody_answers() {
    let refused = "cannot connect to 127.0.0.1:1: Connection refused (os error 111); nothing \
                   listens there: start the server, or compare the port with its settings";
    let none = "the peer broke the protocol: the server closed without a response; look at its \
                log: it refused the request, crashed on it, or speaks FastCGI or uwsgi instead \
                (scgi check tells what it takes)";
    let cut =
        "the peer broke the protocol: the input ended in the response body, at least 3 bytes early";
    for runtime in RUNTIMES {
        let request = |address: &str| scgi(["request", "--runtime", runtime, address]);
        request("127.0.0.1:1").failed(1, &format!("scgi: {refused}"));
        request(&answering(b"", true)).failed(1, &format!("scgi: {none}"));
        let run = request(&answering(b"Content-Length: 5\n\nhe", true));
        run.failed(1, &format!("scgi: {cut}"));
        let run = request("./no-such.sock");
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.starts_with("scgi: cannot connect to unix:./no-such.sock: "));
        assert!(run.stderr.ends_with(
            "; there is no such socket: start the server, or compare the path with its settings\n"
        ));
        let run = request(&answering(b"hello\n", true));
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.contains("is not a header field"), "{}", run.stderr);
    }
}

#[test]
fn an_answer_to_half_a_raw_request() {
    let capture = vector("apache/post_cut_short", "scgi");
    let address = answering(b"Content-Length: 2\n\nok", false);
    assert_eq!(scgi(["request", &address, "--raw", text(&capture)]).ok().text(), "ok");
}

#[test]
fn the_reply_to_head_has_no_body() {
    let folder = scratch_dir().expect("a folder");
    let saved = folder.path().join("head");
    let reply = b"Status: 200 OK\r\nContent-Length: 5\r\n\r\n";
    let args = ["-X", "HEAD", "--save", text(&saved)];
    let address = answering(reply, true);
    assert_eq!(scgi([&["request", &address][..], &args].concat()).ok().text(), "");
    scgi(["request", &answering(reply, true), "--raw", text(&saved)]).ok();
}

#[test]
fn repeated() {
    let server = EchoServer::start(&["--max-body", "10", "127.0.0.1:0"]);
    for runtime in RUNTIMES {
        let request = ["request", "--runtime", runtime, &server.address, "--fail"];
        let run = scgi([&request[..], &["--repeat", "50", "--parallel", "8"]].concat()).ok();
        let text = run.text();
        assert!(text.starts_with("50 answered, 0 failed, 8 at once, in "), "{text}");
        for word in ["\nstatus 200: 50\n", "\nmin ", "\nmedian ", "\np99 ", "\nmax ", "#\n"] {
            assert!(text.contains(word), "{text}");
        }
        let refused = ["--repeat", "3", "-w", "%{status}\\n", "-d", "more than ten"];
        let run = scgi([&request[..], &refused].concat());
        assert_eq!(run.code, Some(22), "{}", run.stderr);
        assert!(run.text().starts_with("413\n413\n413\n3 answered"), "{}", run.text());
    }
    let run = scgi(["request", "127.0.0.1:1", "--repeat", "3"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("scgi: 3 of 3 requests failed, the first: cannot connect to "));
}

#[test]
fn usage() {
    for args in [
        &["request"][..],
        &["request", "no-address"],
        &["request", "a:1", "-H", "no colon"],
        &["request", "a:1", "-p", "no-equals-sign"],
        &["request", "a:1", "--timeout", "soon"],
        &["request", "a:1", "-w", "%{nothing}"],
        &["request", "a:1", "-d", "x", "-T", "y"],
        &["request", "a:1", "/", "--raw", "x"],
        &["request", "a:1", "--repeat", "0"],
        &["request", "a:1", "--parallel", "2"],
        &["request", "a:1", "--runtime", "nothing"],
        &["request", "a:1", "--rtorrent"],
        &["request", "a:1", "--rtorrent", "a", "i:x"],
        &["request", "a:1", "--rtorrent", "a", "\x1b"],
        &["request", "a:1", "-d", "x", "--rtorrent", "a"],
        &["request", "a:1", "--param-file", "x", "--raw", "x"],
    ] {
        assert_eq!(scgi(args).code, Some(2), "{args:?}");
    }
    let run = scgi(["request", "127.0.0.1:1", "-d", "x", "-p", "CONTENT_LENGTH=9"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
}

/// A server that answers before it has read the request, and closes.
#[test]
fn an_early_reply_is_read() {
    let folder = scratch_dir().expect("a folder");
    let file = folder.path().join("upload");
    fs::write(&file, vec![0; 8 << 20]).expect("a file");
    for runtime in RUNTIMES {
        let server = EchoServer::start(&["--max-body", "1MiB", "127.0.0.1:0"]);
        let args = ["request", "--runtime", runtime, &server.address, "--fail", "-T", text(&file)];
        let run = scgi(args);
        assert_eq!(run.code, Some(22), "{runtime}: {}", run.stderr);
        assert!(run.stderr.contains("413"), "{}", run.stderr);
    }
}

#[test]
fn a_raw_connection_gets_an_echo_of_the_shortest_request() {
    let server = EchoServer::json("tokio");
    let mut stream = TcpStream::connect(&server.address).expect("a connection");
    stream.write_all(b"0:,\r\n").expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    assert!(reply.contains("{\"params\":[],\"content_length\":0,\"body_length\":0,"), "{reply}");
}
