from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.plan import Inputs, plan, read_inputs, table
from unlearning.core.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"

SMALL = Inputs(
    records=1000,
    bytes_per_image=100,
    forward_flop=1e6,
    parameters=1000,
    views=2,
    backward_factor=2,
    epochs=10,
    batch=100,
    projection=10,
    nodes=2,
    gpus_per_node=2,
    peak_flop_per_s=1e9,
    utilisation=0.5,
    gpu_memory=50_000,
    bandwidth=1e6,
    references=8,
    reference_share=0.5,
    penalty_ratio=3,
    precision_ratio=2,
    unlearning_epochs=2,
    penalty_share=0.5,
    requests_per_day=10,
    batches_per_day=2,
    store_bandwidth=1000,
    price=3600,
)


def test_the_plan_is_what_comes_out_by_hand() -> None:
    """25 images a GPU × 2 views × 3 MFLOP = 150 MFLOP at 500 MFLOP/s is 0.3 s. A ring of four sends 1.5 times
    4,000 bytes, and 3/4 of 100 × 2 × 10 floats arrive: 6,000 bytes each, 0.012 s together.
    Unlearning computes twice as long for its precision, and twice again with a penalty in half of its steps."""
    found = plan(SMALL)
    assert found.steps == 100
    assert found.compute_s == pytest.approx(0.3)
    assert found.all_reduce_bytes == pytest.approx(6000)
    assert found.gather_bytes == pytest.approx(6000)
    assert found.pretraining_s == pytest.approx(100 * 0.312)
    assert found.references_s == pytest.approx(8 * 5 * 10 * 0.312)
    assert found.reference_alone_s == pytest.approx(5 * 10 * 0.3 * 4)
    assert found.unlearning_s == pytest.approx(20 * (0.3 * 2 * 2 + 0.012))
    assert found.unlearning_day_s == pytest.approx(2 * 20 * (0.3 * 2 * 2 + 0.012))
    assert found.dataset_bytes == 100_000
    assert not found.dataset_fits_one_gpu
    assert found.shard_bytes == 25_000
    assert found.rewrite_s == pytest.approx(200)
    assert found.versions_year_bytes == 4000 * 2 * 365
    assert found.forgotten_share_day == pytest.approx(0.01)
    assert found.pretraining_cost == pytest.approx(31.2 * 4)


def test_one_gpu_has_nothing_to_send() -> None:
    alone = plan(SMALL.model_copy(update={"nodes": 1, "gpus_per_node": 1}))
    assert alone.all_reduce_bytes == 0
    assert alone.gather_bytes == 0


def test_the_page_shows_what_the_script_prints() -> None:
    assert table(plan(Inputs())) in PAGE.read_text()


@pytest.mark.parametrize("text", ["{", '{"nodes": 0}', '{"node": 8}', "[]"])
def test_wrong_inputs_are_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "inputs.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"inputs\.json"):
        read_inputs(file)


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "inputs.json"
    file.write_text('{"epochs": 200}')
    command = [sys.executable, "-m", "benchmarks.plan", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| steps of pretraining | 62,600 |" in done.stdout
