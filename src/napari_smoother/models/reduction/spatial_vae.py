"""`SpatialVAE`: scvi-tools' SCVI, trained on the whole tissue with a spatial loss."""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
import torch

from napari_smoother.errors import InputError
from napari_smoother.models.reduction.full_batch import TrainingPlan, train_full_batch
from napari_smoother.models.reduction.scvi_extra import scvi_module
from napari_smoother.models.reduction.spatial_vae_module import SpatialVAEModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

SCVI: Any = scvi_module("scvi.model").SCVI

Likelihood = Literal["zinb", "nb", "poisson", "normal"]


class SpatialVAE(SCVI):  # type: ignore[misc]
    """A variational autoencoder of expression whose latent means vary smoothly over the tissue.

    The network, its likelihoods and everything done with a trained model are those of
    scvi-tools (Lopez et al. 2018, Nature Methods 15); the spatial loss is that of Su et al.
    2023, Genome Biology 24:291. See `SpatialVAEModule` for the objective. Call
    ``SpatialVAE.setup_anndata(st, layer="raw")`` first.

    Parameters
    ----------
    st_adata
        Spots x genes, registered by ``setup_anndata``.
    spatial_loss
        A `SpatialLoss` on these spots; None for none.
    lambda_spatial_loss
        Strength of the spatial loss.
    sp_loss_as_kl
        Whether the spatial prior takes the place of the standard normal one.
    n_hidden, n_latent, n_layers, dropout_rate, dispersion, gene_likelihood, latent_distribution
        Of the network. ``normal`` wants log expression, the other likelihoods counts.
    seed
        Of the starting weights.
    **model_kwargs
        More for the network, as scvi-tools' ``SCVI`` takes them.

    Attributes
    ----------
    dr_logs : dict
        Seconds and losses, one number an epoch, of the last training.

    Raises
    ------
    ImportError
        Where the module is imported without scvi-tools (extra ``scvi``).
    InputError
        If the spatial loss belongs to other spots, or lambda is negative.
    """

    _module_cls = SpatialVAEModule
    _model_summary_string: str

    def __init__(
        self,
        st_adata: AnnData,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 0.1,
        sp_loss_as_kl: bool = False,
        n_hidden: int = 128,
        n_latent: int = 10,
        n_layers: int = 1,
        dropout_rate: float = 0.0,
        dispersion: Literal["gene", "gene-batch", "gene-label", "gene-cell"] = "gene",
        gene_likelihood: Likelihood = "nb",
        latent_distribution: Literal["normal", "ln"] = "normal",
        seed: int = 0,
        **model_kwargs: Any,
    ) -> None:
        count = getattr(spatial_loss, "n_spots", None)
        if count is not None and count != st_adata.n_obs:
            raise InputError(
                f"The spatial loss has {count} spots and the section {st_adata.n_obs}",
                where="SpatialVAE",
                remedy="Build the spatial loss from the spots of st_adata",
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(
                st_adata,
                n_hidden=n_hidden,
                n_latent=n_latent,
                n_layers=n_layers,
                dropout_rate=dropout_rate,
                dispersion=dispersion,
                gene_likelihood=gene_likelihood,
                latent_distribution=latent_distribution,
                **model_kwargs,
            )
        self.module.set_prior(spatial_loss, lambda_spatial_loss, sp_loss_as_kl)
        self._model_summary_string = self._model_summary_string.replace("SCVI", "SpatialVAE")
        self.init_params_ = self._get_init_params(locals())
        self.dr_logs: dict[str, Any] = {
            "elapsed_time": None, "total_loss": [], "recon_loss": [], "spatial_loss": [],
        }  # fmt: skip

    def train(
        self,
        max_epochs: int = 400,
        lr: float = 0.01,
        accelerator: str = "auto",
        devices: Any = "auto",
        plan_kwargs: dict[str, Any] | None = None,
        *,
        early_stopping: bool = False,
        patience: int = 30,
        min_delta: float = 1e-4,
        seed: int = 0,
        on_epoch: Callable[[int, float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Train on all spots at once.

        Parameters
        ----------
        max_epochs
            Most epochs; each is one step of Adam.
        lr
            Learning rate.
        accelerator
            ``cpu``, ``gpu`` (``cuda``), ``mps``, or ``auto`` for a GPU where there is one.
        devices
            Number of the GPU; ``auto`` is the first.
        plan_kwargs
            ``weight_decay``, ``eps``, ``n_epochs_kl_warmup``, ``min_kl_weight`` and
            ``max_kl_weight``, with the defaults of scvi-tools.
        early_stopping
            Stop when reconstruction and spatial loss have settled: when the mean of the last
            `patience` epochs is no longer lower than that of the `patience` before them by
            `min_delta` of its size.
        patience, min_delta
            See there.
        seed
            Of sampling and dropout: the same seed gives the same model. The global random state
            is left alone.
        on_epoch
            Called after every epoch with the number of epochs so far and the loss.
        cancelled
            Asked before every layer, forward and backward.

        Raises
        ------
        Cancelled
            If ``cancelled`` returned True. After this or any other error the model is as it was
            before this call, trained or not.
        InputError
            If the loss is no longer finite, or there is no such device.
        TypeError
            If `plan_kwargs` has something else.
        """
        known = {field.name for field in fields(TrainingPlan)} - {"lr"}
        unknown = sorted(set(plan_kwargs or {}) - known - {"lr"})
        if unknown:
            raise TypeError(f"plan_kwargs has the unexpected entry {unknown[0]!r}")
        plan = TrainingPlan(**{**(plan_kwargs or {}), "lr": lr})
        before = next(self.module.parameters()).device
        device = _device(accelerator, devices)
        tensors = self._all_spots(device)
        self.module.to(device)
        try:
            log = train_full_batch(
                self.module,
                tensors,
                plan,
                max_epochs,
                patience=max(1, patience) if early_stopping else None,
                min_delta=min_delta,
                seed=seed,
                on_epoch=on_epoch,
                cancelled=cancelled,
            )
        except BaseException:
            self.module.to(before)
            raise
        self.to_device(device)
        self.is_trained_ = True
        self.train_indices_ = np.arange(self.adata.n_obs)
        self.validation_indices_ = np.arange(0)
        self.test_indices_ = np.arange(0)
        self.stopped_early_ = log.stopped_early
        columns = {
            "train_loss_epoch": log.total,
            "reconstruction_loss_train": log.reconstruction,
            "kl_local_train": log.divergence,
            "kl_global_train": log.spatial,
        }
        epochs = pd.RangeIndex(len(log.total), name="epoch")
        self.history_ = {
            name: pd.DataFrame({name: values}, index=epochs) for name, values in columns.items()
        }
        self.dr_logs = {
            "elapsed_time": log.seconds,
            "total_loss": log.total,
            "recon_loss": log.reconstruction,
            "spatial_loss": log.spatial,
        }

    def _all_spots(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Every registered field of all spots, in their order."""
        loader = self._make_data_loader(
            adata=self.adata, batch_size=self.adata.n_obs, shuffle=False
        )
        with torch.random.fork_rng(devices=[]):  # the loader draws a seed that nothing uses
            batch = next(iter(loader))
        return {name: values.to(device) for name, values in batch.items()}

    @classmethod
    def from_rna_model(
        cls,
        st_adata: AnnData,
        sc_model: Any,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 0.1,
        sp_loss_as_kl: bool = False,
        unfrozen: bool = False,
        freeze_dropout: bool = False,
        freeze_expression: bool = True,
        freeze_decoder_first_layer: bool = True,
        freeze_batchnorm_encoder: bool = True,
        freeze_batchnorm_decoder: bool = False,
        freeze_classifier: bool = True,
        **spvae_kwargs: Any,
    ) -> Self:
        """Make a model of a section that starts from one trained on single cells.

        Parameters
        ----------
        st_adata
            Spots x genes, with the layer and columns that `sc_model` was set up with. It is
            copied; genes are sorted as those of the cells, missing ones are zero.
        sc_model
            A trained ``SCVI`` (or `SpatialVAE`).
        spatial_loss, lambda_spatial_loss, sp_loss_as_kl
            As for the constructor.
        unfrozen
            Whether all weights are trained.
        freeze_dropout, freeze_expression, freeze_decoder_first_layer, freeze_batchnorm_encoder,
        freeze_batchnorm_decoder, freeze_classifier
            Which weights stay as they are otherwise, as in scvi-tools.
        **spvae_kwargs
            Settings of the network that `sc_model` does not have.

        Returns
        -------
        SpatialVAE
            Not yet trained on the section.

        Raises
        ------
        InputError
            If the layer of `sc_model` is missing, or too few genes are shared.

        Warns
        -----
        UserWarning
            If a setting is given that `sc_model` has already.
        """
        non_kwargs, kwargs = _settings_of(sc_model)
        for name in sorted(set(spvae_kwargs) & {*non_kwargs, *kwargs}):
            warnings.warn(
                f"{name} is taken from the pretrained model, not {spvae_kwargs.pop(name)!r}",
                UserWarning,
                stacklevel=2,
            )
        prepared = cls._prepared(st_adata, sc_model)
        made = cls(
            prepared,
            spatial_loss=spatial_loss,
            lambda_spatial_loss=lambda_spatial_loss,
            sp_loss_as_kl=sp_loss_as_kl,
            **{**kwargs, **non_kwargs, **spvae_kwargs},
        )
        made.module.load_state_dict(
            _widened(sc_model.module.state_dict(), made.module.state_dict())
        )
        made.module.eval()
        scvi_module("scvi.model.base._archesmixin")._set_params_online_update(
            made.module,
            unfrozen=unfrozen,
            freeze_decoder_first_layer=freeze_decoder_first_layer,
            freeze_batchnorm_encoder=freeze_batchnorm_encoder,
            freeze_batchnorm_decoder=freeze_batchnorm_decoder,
            freeze_dropout=freeze_dropout,
            freeze_expression=freeze_expression,
            freeze_classifier=freeze_classifier,
        )
        made.is_trained_ = False
        return made

    @classmethod
    def _prepared(cls, st_adata: AnnData, sc_model: Any) -> AnnData:
        """Copy of the section with the genes of the cells, registered like them."""
        registry = deepcopy(sc_model.adata_manager.registry)
        settings = registry["setup_args"]
        layer = settings.get("layer")
        if layer is not None and layer not in st_adata.layers:
            raise InputError(
                f'The pretrained model was set up with the layer "{layer}", '
                "which the section does not have",
                where="SpatialVAE.from_rna_model",
                remedy=f'Store the counts of the section as layers["{layer}"]',
            )
        try:
            prepared = SCVI.prepare_query_anndata(st_adata, sc_model, inplace=False)
        except ValueError as error:
            raise InputError(
                f"The genes of section and cells do not fit ({error})",
                where="SpatialVAE.from_rna_model",
                remedy="Use the same gene names in both",
            ) from error
        cls.setup_anndata(
            prepared,
            source_registry=registry,
            extend_categories=True,
            allow_missing_labels=True,
            **settings,
        )
        return prepared


def _settings_of(sc_model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take the settings a model was made with, without those of a spatial loss."""
    stored = deepcopy(sc_model.init_params_)
    named = {
        name: value
        for name, value in stored["non_kwargs"].items()
        if name not in ("spatial_loss", "lambda_spatial_loss", "sp_loss_as_kl")
    }
    more = {name: value for group in stored["kwargs"].values() for name, value in group.items()}
    return named, more


def _widened(
    old: dict[str, torch.Tensor], new: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Old weights, with the new ones where the section has categories the cells had not."""
    widened = {}
    for name, fresh in new.items():
        value = fresh.clone()
        if name in old:
            kept = old[name].to(fresh.device)
            value[tuple(slice(0, size) for size in kept.shape)] = kept
        widened[name] = value
    return widened


def _device(accelerator: str, devices: Any) -> torch.device:
    index = devices[0] if isinstance(devices, (list, tuple)) and devices else devices
    number = int(index) if str(index).isdigit() and isinstance(devices, (list, tuple)) else 0
    if accelerator == "auto":
        return torch.device("cuda", number) if torch.cuda.is_available() else torch.device("cpu")
    if accelerator == "cpu":
        return torch.device("cpu")
    if accelerator in ("gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", number)
    if accelerator == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    raise InputError(
        f"There is no device for {accelerator!r}", where="accelerator", remedy="Take cpu or auto"
    )
