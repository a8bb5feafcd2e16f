//! `--rtorrent`: XML-RPC, a call from the command line and its reply as text.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use roxmltree::{Document, Node};
use scgi_proto::BoxError;
use serde_json::Value;

use crate::failure::Context as _;
use crate::xml::{escape, is_allowed, replace_forbidden};

/// Arrays and structs within each other; rTorrent's replies have two.
const MAX_DEPTH: usize = 32;

/// The name of a method, or an argument.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arg {
    Text(String),
    Int(i64),
    Boolean(bool),
    Double(f64),
    /// The bytes of a file.
    File(PathBuf),
    /// An array or a struct.
    Json(Value),
}

impl FromStr for Arg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_no = |what: &str| format!("{text} is no {what}; s:{text} is a string");
        match text.split_once(':') {
            Some(("s", rest)) => string(rest),
            Some(("i", rest)) => rest.parse().map(Self::Int).map_err(|_| is_no("i:INTEGER")),
            Some(("b", "1" | "true")) => Ok(Self::Boolean(true)),
            Some(("b", "0" | "false")) => Ok(Self::Boolean(false)),
            Some(("b", _)) => Err(is_no("b:true and no b:false")),
            Some(("d", rest)) => match rest.parse() {
                Ok(number) if f64::is_finite(number) => Ok(Self::Double(number)),
                _ => Err(is_no("d:NUMBER")),
            },
            Some(("f", path)) => Ok(Self::File(path.into())),
            _ => json(text)
                .map_or_else(|| string(text), |value| check(&value).map(|()| Self::Json(value))),
        }
    }
}

/// The array or object that the whole text is.
fn json(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    (value.is_array() || value.is_object()).then_some(value)
}

/// Whether XML-RPC can carry it.
fn check(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => string(text).map(drop),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => {
            Err(format!("{number} is over 64 bits"))
        }
        Value::Array(values) => values.iter().try_for_each(check),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            string(name)?;
            check(value)
        }),
        _ => Ok(()),
    }
}

fn string(text: &str) -> Result<Arg, String> {
    match text.chars().find(|c| !is_allowed(*c)) {
        None => Ok(Arg::Text(text.into())),
        Some(c) => Err(format!("XML cannot hold {c:?}; f:FILE sends any bytes")),
    }
}

impl Arg {
    fn xml(&self) -> Result<String, BoxError> {
        Ok(match self {
            Self::Text(text) => format!("<string>{}</string>", escape(text)),
            Self::Int(number) => integer(*number),
            Self::Json(value) => json_xml(value),
            Self::Boolean(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
            Self::Double(number) => format!("<double>{number}</double>"),
            Self::File(path) => {
                let bytes = fs::read(path).context(|| path.display().to_string())?;
                format!("<base64>{}</base64>", BASE64_STANDARD.encode(bytes))
            }
        })
    }
}

fn integer(number: i64) -> String {
    match i32::try_from(number) {
        Ok(number) => format!("<i4>{number}</i4>"),
        Err(_) => format!("<i8>{number}</i8>"),
    }
}

fn json_xml(value: &Value) -> String {
    match value {
        Value::Null => "<nil/>".into(),
        Value::Bool(value) => format!("<boolean>{}</boolean>", u8::from(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => integer(number),
            None => format!("<double>{number}</double>"),
        },
        Value::String(text) => format!("<string>{}</string>", escape(text)),
        Value::Array(values) => {
            let values = values.iter().map(|value| format!("<value>{}</value>", json_xml(value)));
            format!("<array><data>{}</data></array>", values.collect::<String>())
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let (name, value) = (escape(name), json_xml(value));
                format!("<member><name>{name}</name><value>{value}</value></member>")
            });
            format!("<struct>{}</struct>", members.collect::<String>())
        }
    }
}

/// The body of a call: the method, then its arguments.
pub(crate) fn call(words: &[Arg]) -> Result<String, BoxError> {
    let [Arg::Text(method), args @ ..] = words else {
        return Err("a call begins with the name of its method".into());
    };
    let mut xml = format!(
        "<?xml version=\"1.0\"?>\n<methodCall><methodName>{}</methodName><params>",
        escape(method)
    );
    for arg in args {
        // Writing to a string cannot fail.
        let _ = write!(xml, "<param><value>{}</value></param>", arg.xml()?);
    }
    Ok(xml + "</params></methodCall>\n")
}

/// The result of a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Value(Value),
    Fault { code: String, text: String },
}

/// Reads the body of a reply. Characters that XML does not allow become U+FFFD; the number says
/// how many.
pub(crate) fn reply(body: &[u8]) -> Result<(Outcome, usize), BoxError> {
    // Names of files can have any bytes, and rTorrent passes them on.
    let (text, replaced) = replace_forbidden(&String::from_utf8_lossy(body));
    Ok((outcome(&text)?, replaced))
}

fn outcome(text: &str) -> Result<Outcome, BoxError> {
    let not = || "the reply is not XML-RPC".to_string();
    let document = Document::parse(text).context(not)?;
    let root = document.root_element();
    if !root.has_tag_name("methodResponse") {
        return Err(format!("{}: it is <{}>", not(), root.tag_name().name()).into());
    }
    let value = root.descendants().find(|node| node.has_tag_name("value"));
    let value = value.ok_or("it holds no value").context(not)?;
    let value = read(value, 0).context(not)?;
    if child(root, "fault").is_none() {
        return Ok(Outcome::Value(value));
    }
    let member = |name| cell(&value[name]);
    Ok(Outcome::Fault { code: member("faultCode"), text: member("faultString") })
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|node| node.has_tag_name(name))
}

/// Reads `<value>`, at this depth of others.
fn read(value: Node<'_, '_>, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} arrays or structs within each other"));
    }
    let Some(typed) = value.children().find(Node::is_element) else {
        return Ok(value.text().unwrap_or_default().into());
    };
    let text = typed.text().unwrap_or_default();
    Ok(match typed.tag_name().name() {
        "array" => {
            let data = child(typed, "data").ok_or("an array without data")?;
            let values = data.children().filter(|node| node.has_tag_name("value"));
            values.map(|value| read(value, depth + 1)).collect::<Result<Vec<_>, _>>()?.into()
        }
        "struct" => {
            let members = typed.children().filter(|node| node.has_tag_name("member"));
            Value::Object(members.map(|node| member(node, depth)).collect::<Result<_, _>>()?)
        }
        "int" | "i4" | "i8" => {
            text.trim().parse::<i64>().map_err(|_| format!("{text:?} is not an integer"))?.into()
        }
        "boolean" => (text.trim() == "1").into(),
        "nil" => Value::Null,
        // base64 as it is: what it holds may be no text.
        _ => text.into(),
    })
}

fn member(node: Node<'_, '_>, depth: usize) -> Result<(String, Value), String> {
    let name = child(node, "name").and_then(|name| name.text()).unwrap_or_default();
    let value = child(node, "value").ok_or("a member without a value")?;
    Ok((name.into(), read(value, depth + 1)?))
}

/// A line for each element of an array or member of a struct, or just one; with tabs between the
/// elements of an array within an array. What lies deeper is JSON.
pub(crate) fn text(value: &Value) -> String {
    let lines: Vec<String> = match value {
        Value::Array(values) => values.iter().map(row).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{}\t{}", plain(name), cell(value)))
            .collect(),
        value => vec![cell(value)],
    };
    lines.into_iter().map(|line| line + "\n").collect()
}

/// One line of JSON that cannot steer a terminal.
pub(crate) fn json_line(value: &Value) -> String {
    let json = value.to_string();
    let mut line = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // JSON itself escapes those below 32.
        if c.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

fn row(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join("\t"),
        value => cell(value),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        value => value.to_string(),
    }
}

/// Text that cannot be taken for two cells, and cannot steer a terminal: anyone who makes a torrent
/// chooses its name.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value_of(value: &str) -> Value {
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<methodResponse><params><param>\r\n<value>{value}</value>\
             </param></params></methodResponse>"
        );
        match reply(body.as_bytes()) {
            Ok((Outcome::Value(value), 0)) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments() {
        for (text, arg) in [
            ("", Arg::Text(String::new())),
            ("d.name=", Arg::Text("d.name=".into())),
            ("http://x", Arg::Text("http://x".into())),
            ("s:i:5", Arg::Text("i:5".into())),
            ("i:-5", Arg::Int(-5)),
            ("b:true", Arg::Boolean(true)),
            ("b:0", Arg::Boolean(false)),
            ("d:1.5", Arg::Double(1.5)),
            ("f:a.torrent", Arg::File("a.torrent".into())),
            ("[1, {\"a\": null}]", Arg::Json(json!([1, {"a": null}]))),
            (" {} ", Arg::Json(json!({}))),
            ("s:[1]", Arg::Text("[1]".into())),
            // Not all of it is JSON, or it is not an array or an object.
            ("[1] x", Arg::Text("[1] x".into())),
            ("[d.name", Arg::Text("[d.name".into())),
            ("\"a\"", Arg::Text("\"a\"".into())),
            ("5", Arg::Text("5".into())),
        ] {
            assert_eq!(text.parse(), Ok(arg), "{text}");
        }
        for text in [
            "[\"\\u0007\"]",
            "{\"\\u0000\": 1}",
            "[18446744073709551615]",
            "i:",
            "i:x",
            "i:99999999999999999999",
            "b:2",
            "d:nan",
            "a\0b",
            "\x1b[2J",
        ] {
            assert!(text.parse::<Arg>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_call_is_escaped() {
        let words = ["a<b", "x & \"y\" </string>", "i:5", "i:5000000000", "b:1", "d:1.5"];
        let words: Vec<Arg> = words.iter().map(|word| word.parse().expect("a word")).collect();
        let xml = call(&words).expect("a call");
        let document = Document::parse(&xml).expect("XML");
        let texts: Vec<_> = document
            .descendants()
            .filter(|node| node.is_text() && !node.text().unwrap_or_default().trim().is_empty())
            .map(|node| {
                let name = node.parent().map(|parent| parent.tag_name().name());
                (name.unwrap_or_default(), node.text().unwrap_or_default())
            })
            .collect();
        assert_eq!(
            texts,
            [
                ("methodName", "a<b"),
                ("string", "x & \"y\" </string>"),
                ("i4", "5"),
                ("i8", "5000000000"),
                ("boolean", "1"),
                ("double", "1.5"),
            ]
        );
        assert!(call(&[]).is_err() && call(&[Arg::Int(1)]).is_err());
    }

    #[test]
    fn arrays_and_structs_as_arguments() {
        let call = |text: &str| {
            let words = ["m".parse().expect("a word"), text.parse().expect("an argument")];
            call(&words).expect("a call")
        };
        let xml =
            call(r#"[{"methodName": "d.name", "params": ["<H>", 5000000000, 1.5, true, null]}]"#);
        let value = "<value><array><data><value><struct>\
            <member><name>methodName</name><value><string>d.name</string></value></member>\
            <member><name>params</name><value><array><data><value><string>&lt;H&gt;</string></value>\
            <value><i8>5000000000</i8></value><value><double>1.5</double></value>\
            <value><boolean>1</boolean></value><value><nil/></value></data></array></value></member>\
            </struct></value></data></array></value>";
        assert!(xml.contains(value), "{xml}");
    }

    #[test]
    fn characters_that_xml_forbids() {
        let body =
            b"<methodResponse><params><param><value><string>a\x07b&#27;c\xff</string></value>\
            </param></params></methodResponse>";
        let (outcome, replaced) = reply(body).expect("a reply");
        assert_eq!(outcome, Outcome::Value("a\u{fffd}b\u{fffd}c\u{fffd}".into()));
        assert_eq!(replaced, 2);
        assert_eq!(json_line(&json!(["\u{9b}\x1b\x7f"])), "[\"\\u009b\\u001b\\u007f\"]\n");
    }

    #[test]
    fn replies() {
        let array = |values: &str| format!("<array><data>{values}</data></array>");
        for (xml, json, shown) in [
            ("<string>0.9.8</string>".into(), json!("0.9.8"), "0.9.8\n"),
            ("untyped &lt;".into(), json!("untyped <"), "untyped <\n"),
            ("<i8>-5</i8>".into(), json!(-5), "-5\n"),
            ("<boolean>1</boolean>".into(), json!(true), "true\n"),
            ("<string>a\tb\n\\</string>".into(), json!("a\tb\n\\"), "a\\tb\\n\\\\\n"),
            ("<string>&#x9b;2J</string>".into(), json!("\u{9b}2J"), "\\u{9b}2J\n"),
            (array(""), json!([]), ""),
            (array("<value>a</value><value><i4>1</i4></value>"), json!(["a", 1]), "a\n1\n"),
            (
                array(&format!(
                    "<value>{0}</value><value>{0}</value>",
                    array("<value>a</value><value>b</value>")
                )),
                json!([["a", "b"], ["a", "b"]]),
                "a\tb\na\tb\n",
            ),
            (
                "<struct><member><name>n</name><value><i4>1</i4></value></member></struct>".into(),
                json!({"n": 1}),
                "n\t1\n",
            ),
        ] {
            let value = value_of(&xml);
            assert_eq!(value, json, "{xml}");
            assert_eq!(text(&value), shown, "{xml}");
        }
    }

    #[test]
    fn faults_and_what_is_no_reply() {
        let fault = "<methodResponse><fault><value><struct>\
            <member><name>faultCode</name><value><i4>-506</i4></value></member>\
            <member><name>faultString</name><value><string>no\x20such</string></value></member>\
            </struct></value></fault></methodResponse>";
        let expected = Outcome::Fault { code: "-506".into(), text: "no such".into() };
        assert_eq!(reply(fault.as_bytes()).expect("a reply"), (expected, 0));
        let deep = "<value><array><data>".repeat(40) + &"</data></array></value>".repeat(40);
        let deep = format!("<methodResponse>{deep}</methodResponse>");
        for body in ["", "hello", "<html/>", "<methodResponse/>", &deep] {
            assert!(reply(body.as_bytes()).is_err(), "{body}");
        }
    }
}
