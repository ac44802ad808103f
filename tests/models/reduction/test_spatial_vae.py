"""The spatial autoencoder; needs scvi-tools (extra ``scvi``)."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import torch

from napari_smoother import ContrastiveSpatialLoss, SpatialLoss, SpatialWeightMatrix
from napari_smoother.errors import Cancelled, InputError

scvi = pytest.importorskip("scvi", reason="scvi-tools (extra scvi) is not installed")

from napari_smoother.models.reduction import SpatialVAE  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
]

SPOTS, GENES = 200, 15


def section(seed: int = 0) -> ad.AnnData:
    random = np.random.default_rng(seed)
    positions = random.random((SPOTS, 2))
    level = np.exp(np.cos(positions @ random.uniform(2, 8, (2, GENES))))
    adata = ad.AnnData(random.poisson(3 * level).astype(np.float32))
    adata.var_names = [f"gene{i}" for i in range(GENES)]
    adata.layers["raw"] = adata.X.copy()
    adata.layers["log"] = np.log1p(adata.X)
    adata.obsm["spatial"] = positions
    adata.obs["slide"] = ["a", "b"] * (SPOTS // 2)
    return adata


def loss_of(adata: ad.AnnData, prior: str = "icar", rho: float = 0.9) -> SpatialLoss:
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(adata.obsm["spatial"], k=6)
    return SpatialLoss(prior, weights, rho=rho)


def model_of(adata: ad.AnnData, layer: str = "raw", **settings) -> SpatialVAE:
    SpatialVAE.setup_anndata(adata, layer=layer)
    return SpatialVAE(st_adata=adata, n_hidden=16, n_latent=4, **settings)


def state(model: SpatialVAE) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson", "normal"])
@pytest.mark.parametrize("as_kl", [False, True])
def test_every_likelihood_trains_on_more_spots_than_a_batch_of_scvi(likelihood, as_kl):
    adata = section()
    layer = "log" if likelihood == "normal" else "raw"
    model = model_of(
        adata, layer, gene_likelihood=likelihood, spatial_loss=loss_of(adata), sp_loss_as_kl=as_kl
    )
    model.train(max_epochs=25, lr=0.01, accelerator="cpu")
    losses = model.dr_logs["total_loss"]
    assert len(losses) == 25
    assert losses[-1] < losses[0]
    assert model.get_latent_representation().shape == (SPOTS, 4)
    assert np.isfinite(model.get_latent_representation()).all()


def test_the_batch_is_all_spots_in_their_order():
    adata = section()
    batch = model_of(adata)._all_spots(torch.device("cpu"))
    np.testing.assert_array_equal(batch["X"].numpy(), adata.layers["raw"])


@pytest.mark.parametrize("prior", ["icar", "sma"])
def test_the_two_objectives_are_those_written_down(prior):
    adata = section()
    loss = loss_of(adata, prior, 0.1)
    loss.confidences = torch.tensor([1.0, 0.5, 2.0, 1.0])
    q = loss.inv_cov[0].to_dense().double()
    both = {}
    for as_kl in (False, True):
        model = model_of(adata, spatial_loss=loss, lambda_spatial_loss=0.3, sp_loss_as_kl=as_kl)
        module = model.module.train()
        tensors = model._all_spots(torch.device("cpu"))
        torch.manual_seed(0)
        inference, _, outcome = module(tensors, loss_kwargs={"kl_weight": 0.7})
        mean, variance = inference["qz"].mean.double(), inference["qz"].variance.double()
        rough = torch.einsum("nk,nm,mk,k->", mean, q, mean, loss.confidences.double())
        if as_kl:
            spread = (q.diagonal()[:, None] * loss.confidences * variance).sum()
            expected = 0.7 * 0.15 / SPOTS * (rough + spread - variance.log().sum())
        else:
            divergence = 0.5 * (mean**2 + variance - variance.log() - 1).sum(dim=1).mean()
            expected = 0.7 * divergence + 0.3 / SPOTS * rough
        prior_part = outcome.loss - outcome.reconstruction_loss["reconstruction_loss"].mean()
        both[as_kl] = float(prior_part.detach())
        assert both[as_kl] == pytest.approx(float(expected.detach()), rel=1e-4)
    assert both[False] != pytest.approx(both[True], rel=1e-2)


def test_the_spatial_loss_makes_the_latent_means_smoother():
    adata = section()
    loss = loss_of(adata)
    rough, spread = {}, {}
    for strength in (0.0, 0.1):
        model = model_of(adata, spatial_loss=loss, lambda_spatial_loss=strength)
        # The full divergence from the start: it ties down the scale of the latent means.
        model.train(40, lr=0.03, accelerator="cpu", plan_kwargs={"n_epochs_kl_warmup": None})
        found = torch.from_numpy(model.get_latent_representation().T)
        rough[strength], spread[strength] = float(loss(found)), float(found.square().mean())
    assert rough[0.1] < 0.8 * rough[0.0]
    # Not by shrinking alone: smoother for their size, and still there.
    assert rough[0.1] / spread[0.1] < 0.97 * rough[0.0] / spread[0.0]
    assert spread[0.1] > 0.5 * spread[0.0]


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_state_alone():
    adata = section()
    found = []
    for _ in range(2):
        torch.manual_seed(int(torch.randint(100, (1,))))
        before = torch.get_rng_state()
        model = model_of(adata, spatial_loss=loss_of(adata), dropout_rate=0.1)
        model.train(max_epochs=5, accelerator="cpu", seed=3)
        assert torch.equal(before, torch.get_rng_state())
        found.append(state(model))
    assert same(*found)


@pytest.mark.parametrize("calls", [0, 3, 7, 40])
def test_a_cancel_within_an_epoch_leaves_the_model_as_it_was(calls):
    adata = section()
    model = model_of(adata, spatial_loss=loss_of(adata))
    model.train(max_epochs=3, accelerator="cpu")
    before, logs, latent = state(model), model.dr_logs, model.get_latent_representation()
    asked = iter(range(10_000))
    epochs = []
    with pytest.raises(Cancelled):
        model.train(
            max_epochs=100,
            accelerator="cpu",
            cancelled=lambda: next(asked) >= calls,
            on_epoch=lambda epoch, loss: epochs.append(epoch),
        )
    # Many questions an epoch: the first three cancels come before one is over.
    assert len(epochs) == 0 if calls < 8 else len(epochs) >= 1
    assert same(before, state(model))
    assert model.is_trained_
    assert model.dr_logs is logs
    np.testing.assert_array_equal(model.get_latent_representation(), latent)


def test_a_cancel_is_heard_while_the_gradient_is_on_its_way():
    adata = section()
    model = model_of(adata)
    passing = []
    handle = next(model.module.z_encoder.parameters()).register_hook(passing.append)
    heard = []

    def cancelled() -> bool:
        import traceback

        stack = "".join(traceback.format_stack())
        heard.append("backward" in stack)
        return heard[-1]

    with pytest.raises(Cancelled):
        model.train(max_epochs=2, accelerator="cpu", cancelled=cancelled)
    handle.remove()
    assert heard[-1]
    assert not passing
    assert not model.is_trained_


def test_epochs_are_reported_and_training_stops_when_settled():
    adata = section()
    model = model_of(adata, spatial_loss=loss_of(adata))
    seen = []
    model.train(
        max_epochs=3000,
        lr=0.03,
        accelerator="cpu",
        early_stopping=True,
        patience=10,
        min_delta=1e-2,
        on_epoch=lambda epoch, loss: seen.append((epoch, loss)),
    )
    assert [epoch for epoch, _ in seen] == list(range(1, len(seen) + 1))
    assert [loss for _, loss in seen] == model.dr_logs["total_loss"]
    assert 20 <= len(seen) < 3000
    assert len(model.history["kl_global_train"]) == len(seen)


def test_a_model_of_cells_is_carried_over_to_the_section():
    cells, adata = section(1), section(2)
    scvi.model.SCVI.setup_anndata(cells, layer="raw", batch_key="slide")
    scvi_model = scvi.model.SCVI(cells, n_hidden=16, n_latent=3, gene_likelihood="nb")
    scvi_model.train(max_epochs=3, accelerator="cpu", enable_progress_bar=False)
    adata.obs["slide"] = "new"
    turned = adata[:, ::-1].copy()
    model = SpatialVAE.from_rna_model(
        st_adata=turned, sc_model=scvi_model, spatial_loss=loss_of(adata),
        lambda_spatial_loss=0.01, unfrozen=True,
    )  # fmt: skip
    assert not model.is_trained_
    assert model.adata.var_names.equals(cells.var_names)
    cell_state, new_state = scvi_model.module.state_dict(), state(model)
    for name, value in cell_state.items():
        part = new_state[name][tuple(slice(0, size) for size in value.shape)]
        assert torch.equal(part, value), name
    model.train(max_epochs=10, accelerator="cpu")
    assert model.dr_logs["total_loss"][-1] < model.dr_logs["total_loss"][0]
    assert model.get_latent_representation().shape == (SPOTS, 3)


def test_frozen_weights_stay_those_of_the_cells():
    cells, adata = section(1), section(2)
    scvi.model.SCVI.setup_anndata(cells, layer="raw")
    scvi_model = scvi.model.SCVI(cells, n_hidden=16, n_latent=3)
    scvi_model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
    with pytest.warns(UserWarning, match="n_hidden is taken"):
        model = SpatialVAE.from_rna_model(adata, scvi_model, loss_of(adata), n_hidden=99)
    before = state(model)
    model.train(max_epochs=3, accelerator="cpu", plan_kwargs={"weight_decay": 0.0})
    after = state(model)
    first = "z_encoder.encoder.fc_layers.Layer 0.0.weight"
    assert torch.equal(before[first], after[first])
    del adata.layers["raw"]
    with pytest.raises(InputError, match='layer "raw"'):
        SpatialVAE.from_rna_model(adata, scvi_model)


def test_a_saved_model_opens_again(tmp_path):
    adata = section()
    model = model_of(adata, spatial_loss=loss_of(adata), lambda_spatial_loss=0.2)
    model.train(max_epochs=3, accelerator="cpu")
    model.save(str(tmp_path / "model"))
    again = SpatialVAE.load(str(tmp_path / "model"), adata=adata, accelerator="cpu")
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )
    assert again.module.lambda_spatial_loss == 0.2
    assert np.isfinite(float(model.get_elbo()))


def test_other_spatial_losses_train_too():
    adata = section()
    weights = SpatialWeightMatrix()
    weights.calc_weights_knn(adata.obsm["spatial"], k=6)
    model = model_of(adata, spatial_loss=ContrastiveSpatialLoss(spatial_weights=weights))
    model.train(max_epochs=3, accelerator="cpu")
    assert np.isfinite(model.dr_logs["total_loss"]).all()


def test_faults_are_refused_with_a_reason():
    adata = section()
    with pytest.raises(InputError, match="take the place"):
        model_of(adata, sp_loss_as_kl=True)
    with pytest.raises(InputError, match="lambda"):
        model_of(adata, spatial_loss=loss_of(adata), lambda_spatial_loss=-1)
    with pytest.raises(InputError, match="100 spots"):
        model_of(adata, spatial_loss=loss_of(section()[:100]))
    model = model_of(adata)
    before = state(model)
    with pytest.raises(TypeError, match="momentum"):
        model.train(plan_kwargs={"momentum": 1})
    with pytest.raises(InputError, match="lr"):
        model.train(lr=-1)
    with pytest.raises(InputError, match="device"):
        model.train(accelerator="abacus")
    with pytest.raises(InputError, match="smaller lr"):
        model.train(max_epochs=50, lr=1e12, accelerator="cpu")
    assert same(before, state(model))
