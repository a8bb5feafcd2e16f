//! One process under several prefixes, with the lines that the guide `axum` of scgi-tokio shows.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::routing::get;
use scgi_tests::front::Front;
use scgi_tests::http::Browser;
use scgi_tests::process::required;
use scgi_tokio::extract::{Mount, Scheme};
use scgi_tokio::{Handler, Mounted, serve};

/// Serves as long as the test runs.
fn start<M: 'static, H: Handler<M>>(handler: H) -> SocketAddr {
    let listener = StdListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            serve(listener, handler).await
        })
    });
    address
}

async fn show(Mount(mount): Mount, Scheme(scheme): Scheme, request: Request) -> String {
    format!("{scheme} [{mount}] {}", request.uri())
}

fn app() -> Router {
    Router::new().route("/", get(show)).route("/page/{id}", get(show))
}

fn expect_pages(front: &Front, pages: &[(&str, u16, &str)]) {
    for (path, status, text) in pages {
        let reply = Browser::new().get(&format!("{}{path}", front.url())).expect("a reply");
        assert_eq!((reply.status, &*reply.text()), (*status, *text), "{path}");
    }
}

/// The pages of two mounts.
const PAGES: [(&str, u16, &str); 5] = [
    ("/one/", 200, "http [/one] /"),
    ("/one/page/a%20b?x=1", 200, "http [/one] /page/a%20b?x=1"),
    ("/two/page/7", 200, "http [/two] /page/7"),
    ("/two/missing", 404, ""),
    ("/two/page/one/two", 404, ""),
];

#[test]
fn two_mounts_behind_nginx() {
    if !required("nginx") {
        return;
    }
    let address = start(Mounted::from_param("SCRIPT_NAME", app()));
    let nested =
        start(Router::new().nest("/stock", app()).fallback(async |uri: Uri| uri.to_string()));
    let mount = |prefix| {
        format!(
            "location {prefix}/ {{
                 include scgi_params;
                 scgi_param SCRIPT_NAME {prefix};
                 scgi_pass {address};
             }}\n"
        )
    };
    let stock = format!("location /stock/ {{ include scgi_params; scgi_pass {nested}; }}");
    let site = [mount("/one"), mount("/two"), stock].concat();
    let nginx = Front::nginx_site(&site).expect("nginx starts");
    expect_pages(&nginx, &PAGES);
    // `nest` needs no param, and has no prefix to show.
    let pages = [
        ("/stock/page/a%20b?x=1", 200, "http [] /page/a%20b?x=1"),
        ("/stock/missing", 200, "/stock/missing"),
    ];
    expect_pages(&nginx, &pages);
}

#[test]
fn two_mounts_behind_apache() {
    if !required("apache2") {
        return;
    }
    let address = start(Mounted::from_param("MOUNT", app()));
    let mount = |prefix| {
        format!(
            "<Location \"{prefix}/\">
                 SetEnv MOUNT {prefix}
                 ProxyPass scgi://{address}/ retry=0
             </Location>\n"
        )
    };
    let module = "LoadModule env_module @MODULES@/mod_env.so\n".to_owned();
    let site = [module, mount("/one"), mount("/two")].concat();
    let apache = Front::apache_site(&site).expect("Apache starts");
    expect_pages(&apache, &PAGES);
}

#[test]
fn two_mounts_behind_lighttpd() {
    if !required("lighttpd") {
        return;
    }
    let address = start(Mounted::from_param("MOUNT", app()));
    let mount = |prefix| {
        format!(
            r#"$HTTP["url"] =~ "^{prefix}/" {{ setenv.add-environment = ( "MOUNT" => "{prefix}" ) }}
            "#
        )
    };
    let modules = r#"server.modules := ("mod_setenv", "mod_scgi")
        "#;
    let server = format!(
        r#"scgi.server = ("/" => (("host" => "127.0.0.1", "port" => {},
               "check-local" => "disable", "fix-root-scriptname" => "enable")))"#,
        address.port()
    );
    let site = [modules.to_owned(), mount("/one"), mount("/two"), server].concat();
    let lighttpd = Front::lighttpd_site(&site).expect("lighttpd starts");
    expect_pages(&lighttpd, &PAGES);
}
