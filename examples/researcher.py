"""Forget a fifth of the members of a small encoder, and attack the result: python examples/researcher.py [SEED]."""

import sys
from pathlib import Path

import unlearning as ul

# %% Data: members are trained on, calibration is for the method, and the holdout for the attacks alone.
seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
recipe = ul.load_recipe("digits-simclr")
snapshot = ul.open_source("digits", Path("data"), limit=None, seed=seed)
split = ul.make_split(snapshot.manifest, recipe.split, seed)
chosen = ul.select_forget_set(split, snapshot, kind="random", fraction=0.2, seed=seed)
forget, retain = snapshot.rows(chosen.ids), snapshot.rows(split.retained(chosen.ids))

# %% An original that learned all members, one unlearned from it, and one not trained on the forget set.
paradigm = ul.make_paradigm(recipe.paradigm)
with ul.initialisation(seed, "pretrain"):
    original = paradigm.build(recipe.encoder, snapshot.manifest.image_shape, snapshot.manifest.class_names)
ul.train(original, paradigm, snapshot.rows(split.members), recipe.training, seed=seed)
parts = {"retain": retain, "forget": forget, "calibration": snapshot.rows(split.calibration)}
models = {"original": original}
for name, method in (("candidate", "gradient_matching"), ("retrained", "retrain")):
    models[name] = ul.METHODS[method](original, paradigm, **parts, config=recipe.method_config(method), seed=seed + 1)

# %% How well can forgotten records be told from non-members? AUC with its 95 % interval.
named, holdout = {name: (name, model) for name, model in models.items()}, snapshot.rows(split.holdout)
found = ul.audit_models(
    named, paradigm, forget=forget, holdout=holdout, retained=retain, config=recipe.signals, seed=seed,
    split=split.digest, forget_digest=chosen.digest,
)  # fmt: skip
for name, model in found.models.items():
    for attack in model.attacks:
        print(f"{name:10} {attack.name:19} {attack.auc.estimate:.2f} [{attack.auc.low:.2f}, {attack.auc.high:.2f}]")
