"""The usage export: what it refuses, how it comes to be, what its rows say, and what they add up to."""

import csv
import gzip
import io
from collections import Counter
from dataclasses import replace

import httpx
import pytest
from jsonschema_rs import Draft202012Validator
from tests.unit.testing.circleci.test_api_v2 import DATA, OPENAPI, nullable

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.export import COLUMNS, CREDIT_COLUMNS, covered
from headgate.testing.circleci.times import DAY, SECOND, csv_time, parse, rfc3339_ms
from headgate.testing.circleci.world import World

NOW = parse("2026-11-20T12:00:00Z")
SPAN = {"start": "2026-11-14T00:00:00Z", "end": "2026-11-20T00:00:00Z"}
KNOBS = Knobs(export_rows_per_file=100, tag_rate=0.1, cancel_rate=0.1, infrastructure_fail_rate=0.02, rerun_rate=0.6)
OPTIONS = Options(now_ms=NOW, seed=7, days=6, projects=4, runs_per_day=12.0, knobs=KNOBS)
CLIENT = httpx.Client(trust_env=False)


@pytest.fixture(scope="module", autouse=True)
def _client():
    """Close the connections after the last test."""
    with CLIENT:
        yield


@pytest.fixture
def twin():
    """Run a fresh twin, whose hourly calls are all left."""
    with Twin(OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def history():
    """Run a twin whose exports are made once, and give it with the rows of all its organizations."""
    with Twin(OPTIONS) as running:
        orgs = {org["slug"]: org["id"] for org in running.get("/api/v2/me/collaborations")}
        rows = [row for org_id in orgs.values() for row in read(finished(running, org_id)["download_urls"])]
        yield running, rows


def org_of(twin, slug="gh/acme"):
    """Give the id of an organization, as a client learns it."""
    return next(org["id"] for org in twin.get("/api/v2/me/collaborations") if org["slug"] == slug)


def ask(twin, method, path, token=None, **how):
    """Ask without raising."""
    headers = {"circle-token": token or twin.token}
    return CLIENT.request(method, f"{twin.base_url}{path}", headers=headers, **how)


def base(org_id):
    """Give the path of an organization's exports."""
    return f"/api/v2/organizations/{org_id}/usage_export_job"


def created(twin, org_id, **body):
    """Ask for an export; give its id."""
    answer = ask(twin, "POST", base(org_id), json=SPAN | body)
    assert 201 == answer.status_code, answer.text
    return answer.json()["usage_export_job_id"]


def finished(twin, org_id, **body):
    """Ask for an export and look until it is over; give the last answer."""
    job = created(twin, org_id, **body)
    while True:
        told = ask(twin, "GET", f"{base(org_id)}/{job}").json()
        if told["state"] not in {"created", "processing"}:
            return told


def text_of(url):
    """Download a file."""
    answer = CLIENT.get(url)
    assert 200 == answer.status_code, answer.text
    assert "content-encoding" not in answer.headers
    return gzip.decompress(answer.content).decode()


def read(urls):
    """Give the rows of all files."""
    return [row for url in urls for row in csv.DictReader(io.StringIO(text_of(url)))]


def check(path, method, status, value):
    """Assert that an answer is what the document promises."""
    schema = OPENAPI["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
    Draft202012Validator(nullable(schema), validate_formats=True).validate(value)


def test_an_export_is_created_then_processing_then_completed(twin):
    """Answers are as documented, and URLs come last."""
    org_id = org_of(twin)
    path = "/organizations/{org_id}/usage_export_job"
    answer = ask(twin, "POST", base(org_id), json=SPAN)
    check(path, "post", "201", answer.json())
    assert (201, "created", None) == (answer.status_code, answer.json()["state"], answer.json()["download_urls"])
    states = []
    for _ in range(3):
        told = ask(twin, "GET", f"{base(org_id)}/{answer.json()['usage_export_job_id']}").json()
        check(f"{path}/{{usage_export_job_id}}", "get", "200", told)
        states.append((told["state"], bool(told["download_urls"])))
    assert [("processing", False), ("completed", True), ("completed", True)] == states


def test_an_export_takes_the_time_of_its_knob():
    """Before that much of the twin's clock has passed it is processing, however often somebody looks."""
    with Twin(replace(OPTIONS, knobs=Knobs(export_polls=1, export_seconds=900))) as slow:
        org_id = org_of(slow)
        job = created(slow, org_id)
        look = f"{base(org_id)}/{job}"
        assert ["processing"] * 3 == [ask(slow, "GET", look).json()["state"] for _ in range(3)]
        slow.advance(900)
        assert "completed" == ask(slow, "GET", look).json()["state"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no json", "JSON object"),
        ([], "JSON object"),
        ({"start": SPAN["start"]}, "RFC 3339"),
        ({"start": "2026-11-14", "end": SPAN["end"]}, "RFC 3339"),
        ({"start": "2026-11-14T00:00:00", "end": SPAN["end"]}, "RFC 3339"),
        ({"start": 5, "end": SPAN["end"]}, "RFC 3339"),
        ({"start": SPAN["start"], "end": "2026-11-20T12:00:01Z"}, "future"),
        ({"start": SPAN["end"], "end": SPAN["start"]}, "before start"),
        ({"start": "2026-10-19T23:59:59Z", "end": SPAN["end"]}, "31 days"),
        ({"start": "2025-11-19T11:59:59Z", "end": "2025-11-20T00:00:00Z"}, "366 days"),
        ({**SPAN, "org_ids": []}, "org_ids"),
        ({**SPAN, "shared_org_ids": "x"}, "shared_org_ids"),
        ({**SPAN, "shared_org_ids": ["x"]}, "UUID"),
        ({**SPAN, "shared_org_ids": ["00000000-0000-4000-8000-000000000000"]}, "no such organization"),
    ],
)
def test_a_wrong_request_is_400_with_the_reason(twin, body, reason):
    """Times, widths and keys."""
    how = {"content": body} if isinstance(body, str) else {"json": body}
    answer = ask(twin, "POST", base(org_of(twin)), **how)
    assert (400, {"message"}) == (answer.status_code, answer.json().keys())
    assert reason.lower() in answer.json()["message"].lower()


def test_the_widest_and_oldest_spans_are_taken(twin):
    """31 days, and 366 days ago, to the second; zones are understood."""
    org_id = org_of(twin)
    created(twin, org_id, start="2026-10-20T00:00:00Z")
    created(twin, org_id, start="2025-11-19T12:00:00Z", end="2025-11-19T14:00:00+01:00")


def test_what_does_not_exist_is_404(twin):
    """Organizations, exports, and exports of another organization."""
    org_id, other, nobody = org_of(twin), org_of(twin, "bb/acme"), "00000000-0000-4000-8000-000000000000"
    job = created(twin, org_id)
    assert 404 == ask(twin, "POST", base(nobody), json=SPAN).status_code
    for path in (f"{base(nobody)}/{job}", f"{base(other)}/{job}", f"{base(org_id)}/{nobody}"):
        assert 404 == ask(twin, "GET", path).status_code


def test_ten_calls_of_each_method_an_hour_and_organization(twin):
    """The eleventh is 429 with Retry-After and X-RateLimit-Reset; other organizations have calls of their own."""
    org_id = org_of(twin)
    jobs = [created(twin, org_id) for _ in range(5)]
    twin.advance(1800)
    jobs += [created(twin, org_id) for _ in range(5)]
    refused = ask(twin, "POST", base(org_id), json=SPAN)
    assert (429, "1800", "1800") == (
        refused.status_code, refused.headers["retry-after"], refused.headers["x-ratelimit-reset"],
    )  # fmt: skip
    assert {"message"} == refused.json().keys()
    looks = [ask(twin, "GET", f"{base(org_id)}/{jobs[0]}").status_code for _ in range(11)]
    assert [200] * 10 + [429] == looks
    created(twin, org_of(twin, "bb/acme"))
    twin.advance(1800)
    created(twin, org_id)


def test_the_header_is_the_real_one(history):
    """The columns of a captured file, in its order."""
    twin, _ = history
    real = (DATA / "usage" / "usage-export.csv").read_text().splitlines()[0]
    told = finished(twin, org_of(twin))
    assert real == text_of(told["download_urls"][0]).splitlines()[0]


def test_rows_look_like_the_captured_ones(history):
    """The same columns have whole seconds, milliseconds, dates, or words in lower case."""
    _, rows = history
    with (DATA / "usage" / "usage-export.csv").open() as lines:
        real = next(csv.DictReader(lines))
    row = next(row for row in rows if row["JOB_BUILD_STATUS"] == "success" and row["IS_WORKFLOW_SUCCESSFUL"] == "true")
    for name, value in real.items():
        if name.endswith(("_AT", "_DATE")):
            assert len(value) == len(row[name]), name
            assert value.endswith(".000") <= row[name].endswith(".000"), name
    assert r"\N" in {row["MEDIAN_CPU_UTILIZATION_PCT"] for row in rows}
    measured = [row for row in rows if row["MAX_RAM_UTILIZATION_PCT"] != r"\N"]
    assert all(
        0 <= float(row[f"MEDIAN_{kind}_UTILIZATION_PCT"]) <= float(row[f"MAX_{kind}_UTILIZATION_PCT"]) <= 100
        for row in measured
        for kind in ("CPU", "RAM")
    )


def test_files_hold_so_many_rows_and_every_poll_signs_anew(twin):
    """Each file has the header; no URL is given twice; the bytes behind them are the same."""
    org_id = org_of(twin, "bb/acme")
    first = finished(twin, org_id)
    assert len(first["download_urls"]) > 1
    sizes = [len(text_of(url).splitlines()) - 1 for url in first["download_urls"]]
    assert {KNOBS.export_rows_per_file} == set(sizes[:-1])
    assert 0 < sizes[-1] <= KNOBS.export_rows_per_file
    again = ask(twin, "GET", f"{base(org_id)}/{first['usage_export_job_id']}").json()["download_urls"]
    assert not set(again) & set(first["download_urls"])
    pairs = zip(first["download_urls"], again, strict=True)
    assert all(CLIENT.get(one).content == CLIENT.get(other).content for one, other in pairs)


def test_a_url_is_good_for_36_hours(twin):
    """Then it is 403 in XML, as one that nobody signed is; a token beside the signature is refused."""
    url = finished(twin, org_of(twin))["download_urls"][0]
    assert 400 == CLIENT.get(url, headers={"authorization": "Bearer twin-token"}).status_code
    forged = CLIENT.get(url.replace("/_export/0-0", "/_export/0-1"))
    assert (403, "SignatureDoesNotMatch" in forged.text) == (forged.status_code, True)
    twin.advance(36 * 3600 - 1)
    assert 200 == CLIENT.get(url).status_code
    twin.advance(1)
    late = CLIENT.get(url)
    assert (403, "application/xml") == (late.status_code, late.headers["content-type"])
    assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in late.text


def test_a_span_without_runs_has_no_urls(twin):
    """Completed, with null; the running day is such a span."""
    org_id = org_of(twin)
    for span in ({"start": "2026-10-01T00:00:00Z", "end": "2026-10-02T00:00:00Z"},
                 {"start": "2026-11-20T00:00:00Z", "end": "2026-11-20T12:00:00Z"}):  # fmt: skip
        told = finished(twin, org_id, **span)
        assert ("completed", None) == (told["state"], told["download_urls"])


def test_the_running_day_is_left_out_until_it_is_over(twin):
    """Asked for at noon, today has no rows; asked for tomorrow, it has."""
    org_id = org_of(twin)
    wide = {"start": "2026-11-19T00:00:00Z", "end": "2026-11-20T12:00:00Z"}
    rows = read(finished(twin, org_id, **wide)["download_urls"])
    assert {"2026-11-19"} == {row["JOB_RUN_DATE"] for row in rows}
    twin.advance(DAY / SECOND)
    rows = read(finished(twin, org_id, **wide)["download_urls"])
    assert {"2026-11-19", "2026-11-20"} == {row["JOB_RUN_DATE"] for row in rows}


def test_shared_organizations_come_in_the_same_export(twin):
    """Their rows are beside those of the organization asked."""
    org_id, other = org_of(twin), org_of(twin, "bb/acme")
    rows = read(finished(twin, org_id, shared_org_ids=[other])["download_urls"])
    assert {org_id, other} == {row["ORGANIZATION_ID"] for row in rows}


def test_rows_are_what_the_truth_says_the_export_can_tell(history):
    """One row per job run with a knowable name, no other row, and every knowable value equal, times floored."""
    twin, rows = history
    truth = {line["provider_id"]: line for line in twin.truth()}
    exported = {
        key: line for key, line in truth.items()
        if line["kind"] == "job" and line["knowable"]["export"] and line["final"]["circleci.started_at"] < "2026-11-20"
    }  # fmt: skip
    assert len(rows) == len(exported)
    assert exported.keys() == {row["JOB_ID"] for row in rows}
    assert {"success", "failed", "canceled", "infrastructure_fail"} <= {row["JOB_BUILD_STATUS"] for row in rows}
    words = {"success": "success", "failed": "failure", "canceled": "canceled", "timedout": "timeout"}
    for row in rows:
        line = exported[row["JOB_ID"]]
        agree(line, said_of_job(row) | {"headgate.status": words.get(row["JOB_BUILD_STATUS"], "error")})
        assert line["credits"] == int(row["TOTAL_CREDITS"])
    runs = {row["WORKFLOW_ID"]: row for row in rows}
    checked = 0
    for key, row in runs.items():
        if row["WORKFLOW_STOPPED_AT"] != r"\N":
            agree(truth[key], said_of_run(row))
            checked += 1
    assert checked > 100
    told = {key for key, line in truth.items() if line["kind"] == "workflow" and line["knowable"]["export"]}
    assert {key for key in told if truth[key]["final"]["circleci.stopped_at"] < "2026-11-20"} <= runs.keys()
    assert runs.keys() & truth.keys() <= told


def agree(line, said):
    """Assert that knowable and given names are the same, and all values equal."""
    assert set(line["knowable"]["export"]) == {name for name, value in said.items() if value != r"\N"}
    for name in line["knowable"]["export"]:
        expected = line["final"][name]
        if name.endswith("_at"):
            expected = csv_time(parse(expected) // SECOND * SECOND)
        if name in {"circleci.duration_ms", "circleci.queue_ms"}:
            assert abs(expected - said[name]) < SECOND, name
        else:
            assert expected == said[name], name


def said_of_run(row):
    """Read what a row tells of its workflow."""
    branch = row["VCS_BRANCH"]
    url = row["VCS_URL"]
    return {
        "cicd.pipeline.name": row["WORKFLOW_NAME"],
        "cicd.pipeline.run.id": row["WORKFLOW_ID"],
        "circleci.pipeline.id": row["PIPELINE_ID"],
        "circleci.pipeline.number": int(row["PIPELINE_NUMBER"]),
        "circleci.trigger.type": row["PIPELINE_TRIGGER_SOURCE"],
        "vcs.ref.head.name": branch,
        "vcs.ref.head.type": branch if branch == r"\N" else "branch",
        "vcs.repository.url.full": r"\N" if url.startswith("//circleci.com/") else url,
        "circleci.stopped_at": row["WORKFLOW_STOPPED_AT"],
    }


def said_of_job(row):
    """Read what a row tells of its job."""
    queued, started, stopped = (row[f"JOB_RUN_{name}_AT"] for name in ("QUEUED", "STARTED", "STOPPED"))
    return said_of_run(row) | {
        "cicd.pipeline.task.name": row["JOB_NAME"],
        "cicd.pipeline.task.run.id": row["JOB_ID"],
        "circleci.status": row["JOB_BUILD_STATUS"],
        "circleci.job.number": int(row["JOB_RUN_NUMBER"]),
        "circleci.queued_at": queued,
        "circleci.started_at": started,
        "circleci.stopped_at": stopped,
        "circleci.queue_ms": parse(started) - parse(queued),
        "circleci.duration_ms": stopped if stopped == r"\N" else parse(stopped) - parse(started),
        "circleci.resource_class": row["RESOURCE_CLASS"],
        "circleci.executor": row["EXECUTOR"],
        "circleci.parallelism": int(row["PARALLELISM"]),
        "circleci.credits": int(row["TOTAL_CREDITS"]),
    }


def test_kinds_of_credits_add_up_to_the_total(history):
    """In every row; each kind is used by some."""
    _, rows = history
    *kinds, total = CREDIT_COLUMNS
    assert all(sum(int(row[name]) for name in kinds) == int(row[total]) for row in rows)
    assert all(any(int(row[name]) for row in rows) for name in kinds)
    assert all(int(row["COMPUTE_CREDITS"]) >= 0 for row in rows)


def test_credits_are_what_the_rows_add_up_to(history):
    """By project and kind, for everything and for a span."""
    twin, rows = history
    slugs = {line["provider_id"]: line["project"] for line in twin.truth() if line["kind"] == "job"}
    since, until = "2026-11-16T00:00:00Z", "2026-11-18T00:00:00Z"
    narrow = [row for org in twin.get("/api/v2/me/collaborations")
              for row in read(finished(twin, org["id"], start=since, end=until)["download_urls"])]  # fmt: skip
    for told, wanted in ((twin.credits(), rows), (twin.credits(since, until), narrow)):
        sums = {}
        for row in wanted:
            found = sums.setdefault(slugs[row["JOB_ID"]], Counter())
            found.update({name: int(row[name]) for name in CREDIT_COLUMNS})
        assert len(wanted) == told["rows"]
        assert sums == told["projects"]
        assert {name: sum(found[name] for found in sums.values()) for name in CREDIT_COLUMNS} == told["total"]
    assert 400 == CLIENT.get(f"{twin.base_url}/_twin/credits?since=x").status_code


def test_both_ends_of_a_span_are_included(history):
    """A run that started at the very start or end is in."""
    twin, rows = history
    started = sorted(parse(line["final"]["circleci.started_at"]) for line in twin.truth()
                     if line["kind"] == "job" and line["knowable"]["export"])  # fmt: skip
    first, last = started[10], started[40]
    assert twin.credits(rfc3339_ms(first), rfc3339_ms(last))["rows"] == sum(first <= at <= last for at in started)
    assert len(rows) == twin.credits()["rows"]


def test_an_export_can_fail(twin):
    """The state says so, with a reason and without URLs."""
    twin.put_faults({"export_failed": {"count": 1}})
    told = finished(twin, org_of(twin))
    check("/organizations/{org_id}/usage_export_job/{usage_export_job_id}", "get", "200", told)
    assert ("failed", None, True) == (told["state"], told["download_urls"], bool(told["error_reason"]))
    assert "completed" == finished(twin, org_of(twin))["state"]


def test_an_export_can_lose_its_urls(twin):
    """Completed with null although there are runs."""
    twin.put_faults({"export_no_urls": {"count": 1}})
    told = finished(twin, org_of(twin))
    assert ("completed", None) == (told["state"], told["download_urls"])


def test_an_export_can_be_slow(twin):
    """More looks, or more of the twin's time, until it is completed."""
    org_id = org_of(twin)
    twin.put_faults({"export_slow": {"count": 2, "polls": 2, "seconds": 60}})
    look = f"{base(org_id)}/{created(twin, org_id)}"
    assert ["processing"] * 4 == [ask(twin, "GET", look).json()["state"] for _ in range(4)]
    twin.advance(60)
    assert "completed" == ask(twin, "GET", look).json()["state"]


@pytest.mark.parametrize(
    ("style", "column", "expected"),
    [
        ("inserted", "VCS_BRANCH", [*COLUMNS[:9], "NEW_VCS_BRANCH", *COLUMNS[9:]]),
        ("renamed", "TOTAL_CREDITS", [*COLUMNS[:-1], "TOTAL_CREDITS_V2"]),
        ("missing", "JOB_ID", [name for name in COLUMNS if name != "JOB_ID"]),
    ],
)
def test_columns_can_be_others(twin, style, column, expected):
    """Inserted, renamed or missing; all other columns keep their values."""
    org_id = org_of(twin)
    good = read(finished(twin, org_id)["download_urls"])
    twin.put_faults({"export_columns": {"count": 1, "style": style, "column": column}})
    odd = read(finished(twin, org_id)["download_urls"])
    assert expected == list(odd[0])
    same = [name for name in COLUMNS if name in odd[0]]
    assert [[row[name] for name in same] for row in good] == [[row[name] for name in same] for row in odd]
    if style == "renamed":
        assert [row[column] for row in good] == [row[f"{column}_V2"] for row in odd]


def test_the_same_seed_exports_the_same_bytes(history):
    """Ids and files of two twins are equal; so is an export asked for again after the clock has moved on."""
    twin, _ = history
    files = []
    for _ in range(2):
        with Twin(OPTIONS) as other:
            told = finished(other, org_of(other))
            files.append((told["usage_export_job_id"], [CLIENT.get(url).content for url in told["download_urls"]]))
    assert files[0] == files[1]
    assert files[0][1] == [CLIENT.get(url).content for url in finished(twin, org_of(twin))["download_urls"]]


def test_a_server_has_no_usage_export():
    """404 for both routes."""
    with Twin(replace(OPTIONS, mode="server")) as server:
        assert 404 == ask(server, "POST", base(org_of(server)), json=SPAN).status_code
        assert 404 == ask(server, "GET", f"{base(org_of(server))}/{org_of(server)}").status_code


def test_a_run_over_midnight_belongs_to_the_day_it_started():
    """It is in no export while it runs; then it is, under its first day."""
    world = World(replace(OPTIONS, runs_per_day=60.0))
    late = next(build for history in world.histories for build in history.builds
                if build.ran and build.started // DAY < build.stopped // DAY)  # fmt: skip
    midnight = build_day(late) + DAY
    before, after = (
        covered(world.histories, build_day(late), midnight, as_of) for as_of in (late.stopped - 1, late.stopped)
    )
    assert (False, True) == (late in before, late in after)
    assert late not in covered(world.histories, midnight, midnight + DAY, midnight + 2 * DAY)


def build_day(build):
    """Give the first moment of the day a build started on."""
    return build.started // DAY * DAY
