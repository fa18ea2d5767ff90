"""What the document says of answers, and that nothing is made of them before it is asked for."""

import pytest
from pydantic import create_model

from headgate.web.answers import Answer
from headgate.web.document import Api
from headgate.web.documented import documented, shaped

_SEEN = {"$ref": "#/components/schemas/Seen"}


class Seen(Answer):
    """Something."""

    name: str


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        (Seen, _SEEN),
        (list[Seen], {"type": "array", "items": _SEEN, "title": "Response 200 Ask Api V1 Ask Get"}),
        (
            dict[str, int],
            {"type": "object", "additionalProperties": {"type": "integer"}, "title": "Response 200 Ask Api V1 Ask Get"},
        ),
    ],
    ids=["model", "list", "mapping"],
)
def test_the_document_says_how_an_answer_looks(answer, schema):
    """By the name of its model where it has one; and the model stands beside it."""
    app = Api(openapi_url="/api/v1/openapi.json")

    @app.get("/api/v1/ask", **documented(answer))
    async def ask() -> None:
        pass

    document = app.openapi()
    answered = document["paths"]["/api/v1/ask"]["get"]["responses"]["200"]
    assert schema == answered["content"]["application/json"]["schema"]
    assert (answer != dict[str, int]) == ("Seen" in document["components"]["schemas"])


def test_nothing_is_made_of_an_answer_before_the_document_is_asked_for():
    """A start would wait for all of them, and few ever ask."""

    class Late(Answer):
        """Not needed yet."""

        at: int

    app = Api(openapi_url="/api/v1/openapi.json")

    @app.get("/api/v1/late", responses={200: shaped(Late)})
    async def late() -> None:
        pass

    assert not Late.__pydantic_complete__
    assert "Late" in app.openapi()["components"]["schemas"]


def test_a_body_and_an_answer_of_one_name_are_refused():
    """One would stand for the other."""
    told = create_model("Seen", text=(str, ""))
    app = Api(openapi_url="/api/v1/openapi.json")

    @app.post("/api/v1/ask", **documented(Seen))
    async def ask(body: told) -> None:
        pass

    with pytest.raises(ValueError, match="shapes of one name: Seen"):
        app.openapi()
