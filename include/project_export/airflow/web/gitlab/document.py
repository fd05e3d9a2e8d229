"""The OpenAPI document of this API, for everybody who may read exports: with a token, or as the page's user."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from project_export.airflow.web.access import Action, require
from project_export.airflow.web.callers import Caller, api_caller
from project_export.airflow.web.gitlab.asked import Ctx, root_url
from project_export.airflow.web.gitlab.relations import offered

router = APIRouter(include_in_schema=False)

_SCHEMES = {
    "PRIVATE-TOKEN": {"type": "apiKey", "in": "header", "name": "PRIVATE-TOKEN"},
    "JOB-TOKEN": {"type": "apiKey", "in": "header", "name": "JOB-TOKEN"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
_VALIDATION = ("HTTPValidationError", "ValidationError")


async def document_reader(request: Request) -> Caller:
    """Return who asks for the document: by a token, else by Airflow's cookie. Raises HTTPException 401, 403."""
    try:
        caller = await api_caller(request)
    except HTTPException as error:
        try:
            caller = Caller.of(await get_user(request, None, None))
        except HTTPException:
            raise error from None
    await require(caller, Action.READ)
    return caller


@router.get("/openapi.json")
def get_document(request: Request, caller: Annotated[Caller, Depends(document_reader)], ctx: Ctx) -> dict[str, Any]:
    """Return the OpenAPI document."""
    return describe(request.app, root_url(request), [*offered(ctx)])


def describe(app: FastAPI, url: str, relations: list[str]) -> dict[str, Any]:
    """Return the OpenAPI document of an app that is served at a URL. relations: that can be downloaded."""
    document = get_openapi(
        title="GitLab's export API",
        version="4",
        description="The part of GitLab's API that clients of project exports use.",
        routes=[route for route in app.routes if isinstance(route, APIRoute)],
        servers=[{"url": url}],
    )
    schemas = document["components"]["schemas"]
    for name in _VALIDATION:
        schemas.pop(name, None)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # what cannot be read is answered with 400
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "relation" and parameter["required"]:
                    parameter["schema"]["enum"] = relations
    document["components"]["securitySchemes"] = _SCHEMES
    document["security"] = [{name: []} for name in _SCHEMES]
    return document
