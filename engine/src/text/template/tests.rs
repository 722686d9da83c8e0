//! Chat templates as they occur on the hub, in small.
//! Never reads files; the demo model's template is compared with transformers' rendering in `runner::cpu`.
//! Run by `cargo test -p engine`.

use super::*;
use crate::job::Role;

fn chat(messages: &[(Role, &str)]) -> Vec<ChatMessage> {
    messages
        .iter()
        .map(|(role, content)| ChatMessage { role: *role, content: (*content).to_owned() })
        .collect()
}

fn names() -> TemplateNames {
    TemplateNames { bos_token: Some("<s>".to_owned()), eos_token: Some("</s>".to_owned()) }
}

fn render(source: &str) -> Result<String, TextError> {
    let messages = chat(&[(Role::System, "Be <kind> & 'brief'."), (Role::User, " Grüße \"x\" ")]);
    ChatTemplate::new(source.to_owned(), names()).expect("compile").render(&messages)
}

fn check(source: &str, expected: &str) {
    assert_eq!(render(source).expect("render"), expected, "template {source:?}");
}

#[test]
fn templates_render_as_in_transformers() {
    check("{{ bos_token }}|{{ eos_token }}", "<s>|</s>");
    check("{{ messages[0].content }}", "Be <kind> & 'brief'.");
    check("{{ messages[1]['content'] | trim }}!", "Grüße \"x\"!");
    check("{{ messages[1].content.strip() }}!", "Grüße \"x\"!");
    check("{% for m in messages %}\n{{ m.role }}\n{% endfor %}\n", "system\nuser\n");
    check("  {% if true %}\nx\n  {% endif %}\ny", "x\ny");
    check(
        "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}{%- endfor -%}{{ ns.n }}",
        "2",
    );
    check(
        "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ loop.index0 }}{{ loop.last }}{% endfor %}",
        "1True",
    );
    check("{{ messages[1] | tojson }}", r#"{"role": "user", "content": " Grüße \"x\" "}"#);
    check("{{ messages[0].content | tojson }}", r#""Be <kind> & 'brief'.""#);
    check("{{ [1, {'a': none}] | tojson }}", r#"[1, {"a": null}]"#);
    check("{{ {'a': [1]} | tojson(indent=2) }}", "{\n  \"a\": [\n    1\n  ]\n}");
    check("{% if add_generation_prompt %}go{% endif %}", "go");
    check("{% if tools is defined and tools %}tools{% else %}none{% endif %}", "none");
    check(
        "{{ 'a-b'.split('-')[1] }}{{ 'abc'.startswith('ab') }}{{ messages[0].get('name', 'x') }}",
        "bTruex",
    );
    check("{{ messages[-1].role }}{{ messages[1:] | length }}", "user1");
}

#[test]
fn the_date_is_todays() {
    let text = render("{{ strftime_now('%Y-%m-%d') }}").expect("render");
    assert_eq!(text.len(), 10);
    assert!(text[..4].parse::<u32>().expect("a year") >= 2026, "{text}");
}

#[test]
fn a_refusal_is_told_from_a_defect() {
    let refused = render("{{ raise_exception('Roles must alternate.') }}").expect_err("refused");
    assert!(
        matches!(&refused, TextError::Refused { what } if what == "Roles must alternate."),
        "{refused:?}"
    );
    assert_eq!(refused.fault(), domain::Fault::Invalid);
    let nested = render(
        "{% for m in messages %}{% if m.role == 'user' %}{{ raise_exception('no') }}{% endif %}{% endfor %}",
    );
    assert!(matches!(nested, Err(TextError::Refused { .. })), "{nested:?}");
    let defects = [
        "{{ 1 / 0 }}",
        "{{ nothing() }}",
        "{% for i in range(99999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
    ];
    for source in defects {
        assert!(matches!(render(source), Err(TextError::Template(_))), "{source}");
    }
    assert!(ChatTemplate::new("{% if %}".to_owned(), names()).is_err());
}
