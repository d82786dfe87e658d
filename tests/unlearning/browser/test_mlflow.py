"""What people find in MLflow's own pages, served as `make mlflow` serves them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.services import free_port, wait_for
from tests.unlearning.histories import MODEL, History
from unlearning.registry import descriptions
from unlearning.reporting.summary import Summary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PATIENCE = 30_000
"""Milliseconds that a page may take to show something."""


@pytest.fixture(scope="module")
def told(make_summary: Callable[..., Summary], tmp_path_factory: pytest.TempPathFactory) -> History:
    """Versions of three models whose pages describe them."""
    found = History(tmp_path_factory.mktemp("told"), make_summary)
    for model in ("shop-simclr", "shop-supervised", "shelf-simclr"):
        descriptions.tell(found.registry, model)
    return found


@pytest.fixture(scope="module")
def served(browser: Browser, told: History) -> Iterator[str]:
    """The address of MLflow's pages; the browser comes first, since without one there is nothing to serve for."""
    made = subprocess.run(
        ["make", "--no-print-directory", "-n", "mlflow"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    program, *arguments = shlex.split(made.stdout.splitlines()[-1])
    assert Path(program).name == "mlflow"
    port = str(free_port())
    arguments[arguments.index("--port") + 1] = port
    arguments[arguments.index("--backend-store-uri") + 1] = told.registry.uri
    with (told.folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen([Path(sys.executable).with_name("mlflow"), *arguments], stdout=log, stderr=log)
    try:
        wait_for(server, f"http://127.0.0.1:{port}/health", told.folder / "mlflow.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=served)
    found = context.new_page()
    found.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    # MLflow greets new visitors with a dialog, which an Escape before it has the focus does not close.
    found.add_init_script("localStorage.setItem('_mlflow_model_registry_promo_modal_dismissed_v1', 'true')")
    yield found
    context.close()


def followed(page: Page, link: Locator) -> Page:
    """The page behind a link of a description: MLflow opens it in a tab of its own."""
    with page.expect_popup() as opened:
        link.click()
    return opened.value


def test_the_list_of_models_leads_to_each(page: Page) -> None:
    page.goto("/#/models")
    for model in ("shop-simclr", "shop-supervised", "shelf-simclr"):
        expect(page.get_by_role("link", name=model).first).to_be_visible()
    page.get_by_role("link", name=MODEL).first.click()
    expect(page).to_have_url(re.compile(rf"#/models/{MODEL}"))


def test_a_model_says_which_version_serves_and_its_links_lead_there(page: Page) -> None:
    page.goto(f"/#/models/{MODEL}")
    expect(page.get_by_text("It honours 3 erasure requests.")).to_be_visible()
    page = followed(page, page.get_by_role("link", name="Version 4", exact=True).first)
    expect(page).to_have_url(re.compile(rf"#/models/{MODEL}/versions/4$"))
    expect(page.get_by_text("It passed its audit.")).to_be_visible()
    expect(page.get_by_text("@ champion")).to_be_visible()


def test_the_lineage_is_walked_from_the_version_that_serves_to_the_original(page: Page) -> None:
    page.goto(f"/#/models/{MODEL}/versions/4")
    expect(page.get_by_text("Made from version 3 by gradient_matching")).to_be_visible()
    page = followed(page, page.get_by_role("link", name="version 3", exact=True))
    expect(page).to_have_url(re.compile(r"versions/3$"))
    expect(page.get_by_text("Made from version 1")).to_be_visible()
    page = followed(page, page.get_by_role("link", name="version 1", exact=True).first)
    expect(page).to_have_url(re.compile(r"versions/1$"))
    expect(page.get_by_text("Its weights were deleted")).to_be_visible()


def test_a_version_leads_to_the_run_that_made_it(page: Page) -> None:
    page.goto(f"/#/models/{MODEL}/versions/4")
    page.get_by_role("link", name="unlearned shop-simclr").first.click()
    expect(page).to_have_url(re.compile(r"#/experiments/\d+/runs/[0-9a-f]{32}"))
    expect(page.get_by_text("unlearned shop-simclr").first).to_be_visible()
    expect(page.get_by_text("No description")).to_have_count(0)


def test_the_experiment_says_what_its_runs_are(page: Page) -> None:
    page.goto("/#/experiments")
    expect(page.get_by_text("One run for each model").first).to_be_visible()


def test_what_was_withdrawn_says_so_and_what_serves_instead(page: Page) -> None:
    page.goto(f"/#/models/{MODEL}/versions/3")
    expect(page.get_by_role("link", name="version 4", exact=True).first).to_be_visible()
    expect(page.get_by_text("It was withdrawn on")).to_be_visible()
