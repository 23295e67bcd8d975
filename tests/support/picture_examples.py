"""Examples that tests of `picture` share with others."""

from xml.etree import ElementTree


def texts(svg):
    """What matplotlib notes of each text that it draws as outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    return [comment.text.strip() for comment in ElementTree.fromstring(svg, parser).iter(ElementTree.Comment)]
