//! The image that serves the reference pages.

use super::*;

#[test]
fn each_reference_page_is_served_from_their_image() {
    let folder = tempfile::tempdir().unwrap();
    let output = image(folder.path(), &["build", "pages", "--out", "."]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let root = unpacked(&folder.path().join("pages.oci.tar"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let configuration = root.path().join("etc/nginx/nginx.conf");
    let own = fs::read_to_string(&configuration).unwrap();
    // A container has its own port 8080, and these from its runtime.
    let own = own.replace("listen 8080;", &format!("listen 127.0.0.1:{port};"));
    fs::write(&configuration, own.replace("/dev/stdout", "/tmp/access").replace("/dev/stderr", "/tmp/error")).unwrap();
    let output = check_configuration(root.path());
    assert!(text(&output.stderr).contains("/etc/pages/page.conf"), "{}", text(&output.stderr));

    let place = root.path().join("etc/pages");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("config.json"), "{\"domain\": \"wire.example\"}").unwrap();
    for page in ["webapp", "account", "teams"] {
        let origin = "https://nginz-https.wire.example";
        fs::write(place.join("page.conf"), format!("set $page {page};\nset $backend \"{origin}\";\n")).unwrap();
        let mut command = in_image(root.path());
        command.args(["/usr/sbin/nginx", "-e", "/tmp/error", "-g", "daemon off; master_process off;"]);
        let _server = Server(command.spawn().unwrap());
        let address = format!("127.0.0.1:{port}");
        until("nginx listens", || TcpStream::connect(&address).ok());
        let get = |path: &str| http(&address, "GET", path, "", "");
        let source = |path: &str| {
            let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("pages");
            fs::read_to_string(pages.join(path)).unwrap()
        };
        let answer = get("/");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(&source(&format!("{page}/index.html"))),
            "{answer}"
        );
        assert!(answer.contains(&format!("connect-src 'self' {origin};")), "{answer}");
        assert!(get("/shared/api.js").ends_with(&source("shared/api.js")));
        assert!(get("/config.json").ends_with("{\"domain\": \"wire.example\"}"));
        assert!(get("/status").starts_with("HTTP/1.1 200"));
        for outside in ["/../account/index.html", "/page.conf", "/shared/../page.conf"] {
            assert!(!get(outside).starts_with("HTTP/1.1 200"), "{page}{outside}");
        }
    }
    let log = fs::read_to_string(root.path().join("tmp/access")).unwrap();
    assert!(log.contains("\"GET /shared/api.js\" 200"), "{log}");
}
