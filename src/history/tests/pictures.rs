//! Fear: a picture leaves something out, cannot be opened, or breaks on names that nobody thought of.

use machine::input::Call;
use machine::job::Cause;

use crate::rig::{Init, Place, initjournal};

/// Tags that are opened and closed, as far as XML goes without a parser for it.
fn assert_well_formed(xml: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in xml.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') || text.contains("&gt;") || tag.starts_with("style"), "{piece}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn every_instance_has_its_bar_whatever_it_is_called() {
    let place = Place::new("plot");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("job", "instance $N\nexec sleep 1000\n");
    init.define("crashing", "start on boom\nrespawn\nexec sleep 1000\n");
    for name in ["<b>&\"'", "</script>", "ü", "a\u{7}b"] {
        init.call(Call::Start { class: "job".into(), environment: vec![format!("N={name}")], wait: false });
    }
    init.emit("boom");
    init.exit("crashing", Cause::Signal(11));
    init.call(Call::Stop { class: "job".into(), environment: vec!["N=ü".into()], wait: false });
    let svg = initjournal(&["plot", "-j", &place.path("journal")]);
    assert_eq!(svg.status, 0, "{}", svg.err);
    assert_well_formed(&svg.out);
    for text in
        ["job (&lt;b&gt;&amp;&quot;'", "job (ü)", "crashing", "was killed by SIGSEGV and is respawned", "<title>boom,"]
    {
        assert!(svg.out.contains(text), "{text}");
    }
    let html = initjournal(&["plot", "--html", "-j", &place.path("journal")]).out;
    assert_eq!(html.matches("</script>").count(), 1, "no name ends the page's program");
    let one = initjournal(&["plot", "--job", "crashing", "-j", &place.path("journal")]).out;
    assert!(one.contains("crashing") && !one.contains("job ("));
}

#[test]
fn the_graph_has_who_started_whom() {
    let place = Place::new("dot");
    let mut init = Init::new(&place.0.join("journal"));
    init.define("db", "start on net-up\nexec sleep 1000\n");
    init.define("web", "start on started db\nstop on stopping JOB=\"db\"\nexec sleep 1000\n");
    init.emit("net-up");
    init.call(Call::Stop { class: "db".into(), environment: vec![], wait: false });
    let graph = initjournal(&["dot", "-j", &place.path("journal")]).out;
    for arrow in [
        "\"pinitctl (user 1000)\" -> \"enet-up\" [label=\"emits\"",
        "\"enet-up\" -> \"jdb\" [label=\"starts\"",
        "\"jdb\" -> \"jweb\" [label=\"starts\"",
        "\"jdb\" -> \"jweb\" [label=\"stops\"",
        "\"pinitctl (user 1000)\" -> \"jdb\" [label=\"stops\"",
    ] {
        assert!(graph.contains(arrow), "{arrow} is not in {graph}");
    }
    let files = initjournal(&["dot", "--files", "-j", &place.path("journal")]).out;
    assert!(files.contains("\"enet-up\" -> \"jdb\"") && files.contains("\"jdb\" -> \"jweb\""), "{files}");
}
