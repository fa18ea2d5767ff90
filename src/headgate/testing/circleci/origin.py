"""Where a pipeline comes from, as each kind of project tells it: `vcs` or `trigger_parameters`.

The key sets are those of captured deliveries of each kind (tests compare them). Invariant: a pipeline's
commit, subject and author follow from the seed, so nothing of this is stored.
"""

from typing import Any

from headgate.testing.circleci.cast import Family, Person
from headgate.testing.circleci.model import Pipeline
from headgate.testing.circleci.times import SECOND, go_text, offset_seconds, rfc3339_ms, rfc3339_seconds
from headgate.testing.circleci.world import World

_VERBS = ("Fix", "Add", "Remove", "Speed up", "Rename", "Document", "Test", "Simplify")
_THINGS = (
    "the login page",
    "retries",
    "the Über-cache",
    "pagination",
    "a flaky test",
    "the exporter",
    "logs: 100 %",
)


def revision(world: World, pipeline: Pipeline) -> str:
    """Give the commit that was built."""
    return world.ids.revision(pipeline.project.id, pipeline.index)


def subject(world: World, pipeline: Pipeline) -> str:
    """Give the first line of the commit message."""
    number = world.ids.number("subject", pipeline.project.id, pipeline.index)
    return f"{_VERBS[number % len(_VERBS)]} {_THINGS[number // 8 % len(_THINGS)]}"


def author(world: World, pipeline: Pipeline) -> Person:
    """Give the person a pipeline is attributed to."""
    return world.people[pipeline.actor]


def trigger_type(pipeline: Pipeline) -> str:
    """Give the word for what started the pipeline, the same in v2 and in webhooks."""
    if pipeline.errored:
        return "Decoupled Ingestion System"
    if pipeline.trigger != "push":
        return pipeline.trigger
    return "webhook" if pipeline.project.has_vcs else str(pipeline.project.family)


def committed_ms(pipeline: Pipeline) -> int:
    """Give when the commit was made: some seconds before the push."""
    return pipeline.created - 12 * SECOND


def vcs_of_webhook(world: World, pipeline: Pipeline) -> dict[str, Any]:
    """Give `pipeline.vcs` of a delivery (GitHub OAuth, Bitbucket); no commit is known unless pushed."""
    pushed = pipeline.trigger == "push"
    person = author(world, pipeline)
    who = {"name": person.name, "email": person.email} if pushed else {"name": None, "email": None}
    when = rfc3339_seconds(committed_ms(pipeline)) if pushed else None
    vcs: dict[str, Any] = {
        "provider_name": str(pipeline.project.family),
        "origin_repository_url": pipeline.project.repository_url,
        "target_repository_url": pipeline.project.repository_url,
        "revision": revision(world, pipeline),
        "commit": {
            "subject": subject(world, pipeline) if pushed else None,
            "body": "" if pushed else None,
            "author": who,
            "authored_at": when,
            "committer": dict(who),
            "committed_at": when,
        },
    }
    if pipeline.branch or pipeline.bare_tag:
        return vcs | {"branch": pipeline.branch}
    return vcs | {"tag": pipeline.tag}


def vcs_of_v2(world: World, pipeline: Pipeline) -> dict[str, Any]:
    """Give `vcs` of a v2 pipeline (GitHub OAuth, Bitbucket); `commit` is there for pushes alone."""
    project = pipeline.project
    vcs: dict[str, Any] = {
        "origin_repository_url": project.repository_url,
        "target_repository_url": project.repository_url,
        "revision": revision(world, pipeline),
        "provider_name": "GitHub" if project.family is Family.OAUTH else "Bitbucket",
    }
    if pipeline.trigger == "push":
        vcs["commit"] = {"body": "", "subject": subject(world, pipeline)}
    if pipeline.branch and pipeline.branch.startswith("feature/"):
        review = 1 + pipeline.index // 10
        vcs |= {"review_id": str(review), "review_url": f"{project.repository_url}/pull/{review}"}
    return vcs | ({"branch": pipeline.branch} if pipeline.branch else {"tag": pipeline.tag})


def errored_parameters(world: World, pipeline: Pipeline) -> dict[str, Any]:
    """Give the `trigger_parameters` of a pipeline that never got its configuration."""
    project = pipeline.project
    return {
        "git": {"checkout_sha": revision(world, pipeline)},
        "circleci": {
            "org_name": project.org.name,
            "project_name": project.name,
            "provider_name": str(project.family),
        },
    }


def trigger_parameters(world: World, pipeline: Pipeline) -> dict[str, Any]:
    """Give `trigger_parameters` (GitHub App, GitLab); missing values are empty texts, as in real ones."""
    return _app(world, pipeline) if pipeline.project.family is Family.APP else _gitlab(world, pipeline)


def _ref(pipeline: Pipeline) -> str:
    return f"refs/heads/{pipeline.branch}" if pipeline.branch else f"refs/tags/{pipeline.tag}"


def _app(world: World, pipeline: Pipeline) -> dict[str, Any]:
    project, person = pipeline.project, author(world, pipeline)
    sha, branch, title = revision(world, pipeline), pipeline.branch or "", subject(world, pipeline)
    nanos = pipeline.created * 7919 % 1_000_000
    return {
        "github_app": {
            "commit_author_name": person.name,
            "owner": "acme",
            "full_ref": _ref(pipeline),
            "forced": "false",
            "user_username": person.login,
            "branch": branch,
            "commit_title": title,
            "repo_url": project.repository_url,
            "ref": pipeline.branch or pipeline.tag,
            "repo_name": project.name,
            "commit_author_email": person.email,
            "commit_sha": sha,
        },
        "git": {
            "commit_author_name": person.name,
            "repo_owner": "acme",
            "branch": branch,
            "commit_message": title,
            "repo_url": project.repository_url,
            "ref": _ref(pipeline),
            "author_avatar_url": person.avatar_url,
            "checkout_url": f"{project.repository_url}.git",
            "author_login": person.login,
            "repo_name": project.name,
            "commit_author_email": person.email,
            "checkout_sha": sha,
            "default_branch": project.default_branch,
        },
        "circleci": {
            "event_time": go_text(pipeline.created - 268, nanos),
            "provider_actor_id": person.id,
            "actor_id": person.id,
            "event_type": "push" if pipeline.trigger == "push" else "create pipeline run api",
            "trigger_type": "github_app",
        },
        "webhook": {"body": "{}"},
    }


def _gitlab(world: World, pipeline: Pipeline) -> dict[str, Any]:
    project, person = pipeline.project, author(world, pipeline)
    sha, branch, title = revision(world, pipeline), pipeline.branch or "", subject(world, pipeline)
    git_url = f"git@gitlab.com:acme/{project.name}.git"
    return {
        "gitlab": {
            "web_url": project.repository_url,
            "x_gitlab_event_id": "",
            "commit_author_name": person.name,
            "user_id": str(person.number),
            "user_name": person.name,
            "user_username": person.login,
            "branch": branch,
            "commit_title": title,
            "tag": pipeline.tag or "",
            "commit_message": title,
            "total_commits_count": "1",
            "repo_url": git_url,
            "user_avatar": person.avatar_url,
            "type": "push",
            "project_id": str(39_861_975 + project.index),
            "ref": _ref(pipeline),
            "repo_name": project.name,
            "commit_author_email": person.email,
            "checkout_sha": sha,
            "commit_timestamp": offset_seconds(committed_ms(pipeline)),
            "default_branch": "",
            "commit_sha": sha,
            "is_fork_merge_request": False,
        },
        "circleci": {
            "config_source_id": world.ids.named("config-source", project.id),
            "event_time": rfc3339_ms(pipeline.created - 531),
            "actor_id": person.id,
            "trigger_id": world.ids.named("trigger", project.id),
            "event_type": "push",
            "trigger_type": "gitlab",
        },
        "git": {
            "tag": pipeline.tag or "",
            "checkout_sha": sha,
            "ref": _ref(pipeline),
            "branch": branch,
            "checkout_url": git_url,
        },
    }
