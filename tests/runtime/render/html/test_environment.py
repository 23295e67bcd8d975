from scission.runtime.render.html.environment import environment_of_pages


def test_what_models_say_is_text_of_a_page_and_can_be_seen():
    template = '{% macro of(name) %}<a title="{{ name }}">\n{{ name }}</a>{% endmacro %}{{ of(name) }}{{ count }}'
    page = environment_of_pages().from_string(template)
    shown = page.render(name='"><script>\x00\x1b\n\u202e\udcff', count=3)
    escaped = r"&#34;&gt;&lt;script&gt;\x00\x1b\n\u202e\udcff"
    assert shown == f'<a title="{escaped}">\n{escaped}</a>3'
    shown.encode()
