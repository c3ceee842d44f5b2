//! How lines, words, quotes and blocks are read.
#![allow(clippy::unwrap_used)]

use machine::class::{Class, Command};
use machine::parse::{bytes_of, parse_class, parse_condition};

fn read(text: &str) -> Class {
    parse_class("job", text.as_bytes()).unwrap_or_else(|error| panic!("{}", error.render("job.conf", text.as_bytes())))
}

/// As it stands in the log: line and message.
fn refusal(text: &str) -> String {
    let error = parse_class("job", text.as_bytes()).expect_err(text);
    format!("{}: {}", error.line, error.kind)
}

fn exec(text: &str) -> String {
    match read(text).main {
        Some(Command::Exec(command)) => command,
        other => panic!("{other:?}"),
    }
}

fn script(text: &str) -> String {
    match read(text).main {
        Some(Command::Script(script)) => script,
        other => panic!("{other:?}"),
    }
}

#[test]
fn quotes_are_removed_from_values() {
    let class = read("description \"two  words\"\nauthor \"it's\"\nversion \"a\"\"b\"\n");
    assert_eq!(class.description.as_deref(), Some("two  words"));
    assert_eq!(class.author.as_deref(), Some("it's"));
    assert_eq!(class.version.as_deref(), Some("ab"));
    let class = read("description 'two  words'\nauthor 'say \"x\"'\nversion a'b c'd\n");
    assert_eq!(class.author.as_deref(), Some("say \"x\""));
    assert_eq!(class.version.as_deref(), Some("ab cd"));
    let class = read("author back\\\\slash\nversion a\\ b\n");
    assert_eq!(class.author.as_deref(), Some("back\\slash"));
    assert_eq!(class.version.as_deref(), Some("a b"));
    assert_eq!(refusal("description \"\"\n"), "1: Expected token");
}

#[test]
fn quotes_stay_in_commands() {
    assert_eq!(exec("exec a  \"b  $C\" 'd' e\\ f\\  # g\n"), "a  \"b  $C\" 'd' e\\ f\\ ");
    assert_eq!(exec("exec show \"a \\\"b\\\" c\" d"), "show \"a \\\"b\\\" c\" d");
    assert_eq!(exec("exec echo '#' \"#\" \\# x#y"), "echo '#' \"#\" \\# x");
    assert_eq!(exec("exec \"\""), "\"\"");
}

#[test]
fn line_breaks_in_quotes_read_as_a_space() {
    let class = read("usage \"first line\n   second line\"\nexec show \"a  \n\n b\" c\nversion x\n");
    assert_eq!(class.usage.as_deref(), Some("first line second line"));
    assert_eq!(class.main, Some(Command::Exec("show \"a b\" c".into())));
    assert_eq!(class.version.as_deref(), Some("x"));
}

#[test]
fn a_line_goes_on_after_a_backslash() {
    assert_eq!(exec("exec a \\\n    b \\\n\\\n c\\\nd\n"), "a b cd");
    let class = read("emits a \\\n b\\\n c\nenv DIR=\\\n/srv\nusage \"d \\\n  e\\\nf\"\nstart on x \\\n  or \\\n y\n");
    assert_eq!(class.emits, ["a", "b", "c"]);
    assert_eq!(class.env, ["DIR=/srv"]);
    assert_eq!(class.usage.as_deref(), Some("d ef"));
    assert_eq!(class.start_on.unwrap().expression(), "(x or y)");
    assert_eq!(refusal("exec a \\"), "1: Trailing slash");
    assert_eq!(refusal("\nversion \\"), "2: Trailing slash");
}

#[test]
fn comments_and_blanks_mean_nothing() {
    let class = read("# one\n\n  \t # two\n\tdescription\t x\t# three\n task# four\nversion a#b");
    assert_eq!(class.description.as_deref(), Some("x"));
    assert!(class.task);
    assert_eq!(class.version.as_deref(), Some("a"));
}

#[test]
fn dos_line_ends_are_blanks() {
    let text = "description \"x\"\r\n\r\nstart on (a\r\n and b)\r\nusage \"c\r\nd\"\r\nexec e \\\r\n f\r\n";
    let class = read(text);
    assert_eq!(class.start_on.unwrap().expression(), "(a and b)");
    assert_eq!(class.usage.as_deref(), Some("c d"));
    assert_eq!(class.main, Some(Command::Exec("e f".into())));
    assert_eq!(script("script\r\necho\r\nend script\r\n"), "echo\r\n");
}

#[test]
fn the_last_line_may_lack_its_newline() {
    assert_eq!(read("description last").description.as_deref(), Some("last"));
    assert_eq!(script("task\nscript\necho done\nend script"), "echo done\n");
    assert_eq!(read(""), Class::new("job"));
}

#[test]
fn a_block_ends_at_end_script_alone() {
    assert_eq!(
        script("script # why\necho end script\nend scripts\nend  script\t # done\n"),
        "echo end script\nend scripts\n"
    );
    assert_eq!(script("script\nend script\n"), "");
    assert_eq!(script("script\n  echo \"a\n  end script\ntask\n"), "echo \"a\n");
    assert_eq!(refusal("script\necho x\n"), "3: Unterminated block");
    assert_eq!(refusal("script\nend wibble\n"), "3: Unterminated block");
    assert_eq!(refusal("pre-start script\necho\n"), "3: Unterminated block");
    assert_eq!(refusal("end script\n"), "1: Unknown stanza");
    assert_eq!(refusal("exec x\nend script\n"), "2: Unknown stanza");
    assert_eq!(refusal("script echo\nend script\n"), "1: Unexpected token");
}

#[test]
fn a_block_loses_the_indent_that_its_lines_share() {
    assert_eq!(script("script\n    if a; then\n      b\n\n    fi\nend script\n"), "if a; then\n  b\n\nfi\n");
    assert_eq!(script("script\n\ta\n    b\nend script\n"), "\ta\n    b\n");
    assert_eq!(script("script\n    cat <<E\nx\nE\nend script\n"), "    cat <<E\nx\nE\n");
}

#[test]
fn unknown_stanzas_are_reported_where_they_stand() {
    assert_eq!(refusal("exec sleep 600\nwibble\n"), "2: Unknown stanza");
    assert_eq!(refusal("# one\n\n\n# four\ndescription x\nwobble x\n"), "6: Unknown stanza");
    for text in [
        "respawn wibble",
        "kill everyone",
        "console loud",
        "expect much",
        "pre-start wibble",
        "normal behaviour",
        "start up",
        "apparmor wibble",
        "reload now",
        "limit wibble 1 1",
    ] {
        assert_eq!(refusal(text), "1: Unknown stanza", "{text}");
    }
}

#[test]
fn quotes_that_do_not_close_are_reported_at_the_end() {
    assert_eq!(refusal("description \"x\ntask\n"), "3: Unterminated quoted string");
    let error = parse_class("job", b"task\nexec it's\ntask\n").unwrap_err();
    assert_eq!((error.line, error.span.line, error.span.column), (4, 2, 8));
}

#[test]
fn conditions_are_refused_for_the_right_reason() {
    for (text, expected) in [
        ("start on", "1: Expected token"),
        ("start on # a", "1: Expected token"),
        ("start", "1: Expected token"),
        ("start on and a", "1: Expected event"),
        ("start on a and\ntask", "1: Expected event"),
        ("start on a or # b", "1: Expected event"),
        ("start on ()", "1: Expected event"),
        ("start on (a\nand\nor b)", "3: Expected event"),
        ("start on \"\"", "1: Expected event"),
        ("start on (a) b", "1: Expected operator"),
        ("start on a (b)", "1: Expected operator"),
        ("start on (a) (b)", "1: Expected operator"),
        ("start on a B=1 c", "1: Expected variable name before value"),
        ("task\nstart on a)", "2: Mismatched parentheses"),
        ("start on (a\n or b\n\n", "4: Mismatched parentheses"),
        ("stop on (a or (b)\n", "2: Mismatched parentheses"),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
    assert!(parse_condition("").is_err());
    assert!(parse_condition("a\nb").is_err());
    assert!(parse_condition("a # b\n\n").is_ok());
}

#[test]
fn arguments_are_kept_as_they_are_compared() {
    let words = |text: &str| parse_condition(text).unwrap().words();
    assert_eq!(words("runlevel [!2345]"), [["runlevel", "[!2345]"]]);
    assert_eq!(words("a x y=z=1 B!=\"2 3\" C="), [["a", "x", "y=z=1", "B!=2 3", "C="]]);
    assert_eq!(words("a (b)".replace(" (", " or(").as_str()), words("a or (b)"));
    assert_eq!(words("a && b || c"), words("a and b or c"));
    assert_eq!(words("a & b | c"), words("a and b or c"));
    assert_eq!(words("a \"and\" b"), [["a", "and", "b"]]);
    let condition = parse_condition("a K!=v").unwrap();
    let machine::condition::Node::Event(pattern) = &condition.nodes[0] else { panic!("{condition:?}") };
    assert!(pattern.matches[0].negated);
    assert_eq!(pattern.matches[0].key.as_deref(), Some("K"));
}

#[test]
fn bytes_of_another_century_are_kept() {
    let class = parse_class("job", b"# J\xfcrgen\nexec /opt/\xe9t\xe9\n").unwrap();
    let Some(Command::Exec(command)) = class.main else { panic!() };
    assert_eq!(&*bytes_of(&command), b"/opt/\xe9t\xe9");
    let error = parse_class("job", b"exec a\n\xe9\0b\n").unwrap_err();
    assert_eq!((error.line, error.span.column), (2, 2));
    let wobble = parse_class("job", b"\xe9\xe9 wibble").unwrap_err();
    assert!(wobble.render("f", b"\xe9\xe9 wibble").contains("1 | \u{fffd}\u{fffd} wibble\n  | ^^ expected a stanza\n"));
}

#[test]
fn an_error_shows_the_line_and_what_to_do() {
    let text = "task\n\tdecription \"postfix\"\n";
    let error = parse_class("job", text.as_bytes()).unwrap_err();
    assert_eq!(
        error.render("/etc/init/postfix.conf", text.as_bytes()),
        "error: Unknown stanza\n\
         \x20--> /etc/init/postfix.conf:2:2\n\
         \x20 |\n\
         2 | \tdecription \"postfix\"\n\
         \x20 | \t^^^^^^^^^^ expected a stanza\n\
         \x20 = hint: did you mean `description`?\n"
    );
    let text = "console out\n";
    let error = parse_class("job", text.as_bytes()).unwrap_err();
    let rendered = error.render("a.conf", text.as_bytes());
    assert!(rendered.contains("  |         ^^^ expected `none`, `log`, `output` or `owner`\n"), "{rendered}");
    let text = "task\npre-start script\necho\n";
    let error = parse_class("job", text.as_bytes()).unwrap_err();
    let rendered = error.render("a.conf", text.as_bytes());
    assert!(rendered.contains("2 | pre-start script\n  |           ^^^^^^ expected `end script`"), "{rendered}");
    assert!(rendered.contains("  = note: read up to line 4\n"), "{rendered}");
}
