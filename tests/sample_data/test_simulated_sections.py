"""Simulated sections are what they claim to be, and the same for the same seed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from napari_smoother.errors import InputError
from napari_smoother.sample_data import Sample, simulate_cortex, simulate_large, simulate_tumour

SIMULATIONS = {"cortex": simulate_cortex, "tumour": simulate_tumour}


@pytest.fixture(scope="module", params=list(SIMULATIONS))
def sample(request: pytest.FixtureRequest) -> Sample:
    return SIMULATIONS[request.param]()


def pixels_at_spots(sample: Sample) -> np.ndarray:
    image = sample.section.images[0]
    column, row = np.rint(sample.section.positions.T * image.scale).astype(int)
    return image.pixels[row, column].astype(float)


def optical_density(sample: Sample) -> np.ndarray:
    return -np.log(np.maximum(sample.section.images[0].pixels, 1) / 255.0).sum(axis=2)


def test_a_section_has_the_size_and_scale_of_a_true_one(sample: Sample) -> None:
    section = sample.section
    assert 2000 <= section.n_spots <= 3700
    assert section.spot_diameter * section.micrometres_per_pixel == pytest.approx(55)
    image = section.images[0]
    assert image.pixels.dtype == np.uint8
    assert max(image.pixels.shape[:2]) == 2000
    assert image.pixels.shape[0] != image.pixels.shape[1]
    assert image.scale < 1
    size = np.array(image.pixels.shape[1::-1]) / image.scale
    assert (section.positions > 0).all()
    assert (section.positions < size).all()


def test_spots_lie_on_a_hexagonal_lattice_of_100_micrometres(sample: Sample) -> None:
    section = sample.section
    positions = section.positions * section.micrometres_per_pixel
    row = section.adata.obs["array_row"].to_numpy()
    column = section.adata.obs["array_col"].to_numpy()
    assert ((row + column) % 2 == 0).all()
    offset = positions - np.column_stack([column * 50.0, row * 50.0 * np.sqrt(3)])
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-6)
    nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest, 100.0, atol=1e-6)


def test_the_tissue_has_an_outline_and_a_gap_within(sample: Sample) -> None:
    row = sample.section.adata.obs["array_row"].to_numpy()
    column = sample.section.adata.obs["array_col"].to_numpy()
    occupied = np.zeros((78, 128), bool)
    occupied[row, column] = True
    gaps = 0
    for one in range(row.min(), row.max() + 1):
        present = np.flatnonzero(occupied[one])
        gaps += (np.diff(present) > 2).sum()
    assert gaps >= 3
    assert len(set(np.bincount(row))) > 10


def test_spots_fall_on_tissue_and_not_on_glass(sample: Sample) -> None:
    density = optical_density(sample)
    glass = np.median(density[:60])
    image = sample.section.images[0]
    column, row = np.rint(sample.section.positions.T * image.scale).astype(int)
    on_tissue = density[row, column] > glass + 0.1
    assert on_tissue.mean() > 0.995
    swapped = density[
        np.minimum(column, density.shape[0] - 1), np.minimum(row, density.shape[1] - 1)
    ]
    assert (swapped > glass + 0.1).mean() < on_tissue.mean() - 0.02


def test_places_of_the_lattice_without_a_spot_are_mostly_glass(sample: Sample) -> None:
    section = sample.section
    row = section.adata.obs["array_row"].to_numpy()
    column = section.adata.obs["array_col"].to_numpy()
    origin = section.positions[0] - 2 * np.array([column[0] * 50.0, row[0] * 50.0 * np.sqrt(3)])
    free = np.array(
        [
            (c, r)
            for r in range(78)
            for c in range(r % 2, 128, 2)
            if not ((row == r) & (column == c)).any()
        ]
    )
    image = section.images[0]
    places = (origin + 2 * free * [50.0, 50.0 * np.sqrt(3)]) * image.scale
    density = optical_density(sample)
    glass = np.median(density[:60])
    x, y = np.rint(places.T).astype(int)
    assert (density[y, x] < glass + 0.1).mean() > 0.9


def test_colours_follow_the_regions(sample: Sample) -> None:
    region = sample.section.adata.obs["region"]
    colours = pixels_at_spots(sample)
    total = colours.var(axis=0).sum()
    means = np.array(
        [colours[(region == name).to_numpy()].mean(0) for name in region.cat.categories]
    )
    between = means[region.cat.codes] - colours.mean(axis=0)
    shuffled = np.random.default_rng(0).permutation(region.cat.codes)
    chance = np.array([colours[shuffled == code].mean(0) for code in range(len(means))])[shuffled]
    chance -= colours.mean(axis=0)
    assert (between**2).sum(1).mean() / total > 20 * (chance**2).sum(1).mean() / total
    assert np.linalg.norm(means[:, None] - means[None], axis=2).max() > 30


def test_regions_are_contiguous(sample: Sample) -> None:
    region = sample.section.adata.obs["region"]
    assert (region.value_counts() > 30).all()
    neighbours = cKDTree(sample.section.positions).query(sample.section.positions, k=7)[1][:, 1:]
    same = region.cat.codes.to_numpy()[neighbours] == region.cat.codes.to_numpy()[:, None]
    assert same.mean() > 0.8


def test_proportions_sum_to_one_and_follow_the_regions(sample: Sample) -> None:
    truth = sample.proportions
    np.testing.assert_allclose(truth.sum(axis=1), 1.0, atol=1e-9)
    assert (truth.to_numpy() >= 0).all()
    assert list(truth.index) == list(sample.section.adata.obs_names)
    assert truth.equals(sample.section.adata.obsm["proportions"])
    assert list(truth.columns) == list(sample.reference.obs["cell_type"].cat.categories)
    region = sample.section.adata.obs["region"].to_numpy()
    profile = truth.groupby(region).mean()
    expected = {
        "L2/3": "Excitatory L2-3",
        "L4": "Excitatory L4",
        "L5": "Excitatory L5",
        "L6": "Excitatory L6",
        "WM": "Oligodendrocyte",
        "tumour": "Tumour",
        "necrosis": "Hypoxic tumour",
        "normal tissue": "Epithelium",
    }
    for name in profile.index.intersection(list(expected)):
        assert profile.loc[name].idxmax() == expected[name]


def test_composition_is_smooth_within_regions_and_jumps_at_their_borders(sample: Sample) -> None:
    truth = sample.proportions.to_numpy()
    code = sample.section.adata.obs["region"].cat.codes.to_numpy()
    near = cKDTree(sample.section.positions).query(sample.section.positions, k=7)[1][:, 1:]
    distance = np.abs(truth[near] - truth[:, None]).sum(axis=2)
    within = code[near] == code[:, None]
    assert distance[~within].mean() > 2 * distance[within].mean()
    rng = np.random.default_rng(0)
    far = rng.integers(0, len(truth), near.shape)
    alike = code[far] == code[:, None]
    strangers = np.abs(truth[far] - truth[:, None]).sum(axis=2)[alike].mean()
    assert distance[within].mean() < strangers


def test_counts_are_sparse_whole_numbers_with_names(sample: Sample) -> None:
    for adata in (sample.section.adata, sample.reference):
        assert adata.X.format == "csr"
        assert adata.X.dtype == np.float32
        assert (adata.X.data == np.round(adata.X.data)).all()
        assert (adata.X.data > 0).all()
        assert adata.obs_names.is_unique
        assert adata.var_names.is_unique
        assert adata.var["gene_ids"].is_unique
        assert adata.var["gene_ids"].str.fullmatch(r"ENSG\d{11}").all()
    assert list(sample.section.adata.var_names) == list(sample.reference.var_names)
    cells = sample.reference.obs["cell_type"].value_counts()
    assert cells.between(80, 100).all()


def mean_profiles(sample: Sample) -> np.ndarray:
    cells = np.asarray(sample.reference.X.todense())
    code = sample.reference.obs["cell_type"].cat.codes.to_numpy()
    pooled = np.array([cells[code == k].sum(axis=0) for k in range(code.max() + 1)])
    return pooled / pooled.sum(axis=1, keepdims=True)


def test_counts_agree_with_the_mixture(sample: Sample) -> None:
    observed = np.asarray(sample.section.adata.X.todense())
    depth = observed.sum(axis=1, keepdims=True)
    expected = sample.proportions.to_numpy() @ mean_profiles(sample) * depth
    region = sample.section.adata.obs["region"].cat.codes.to_numpy()
    pooled = np.array(
        [(observed[region == k].sum(0), expected[region == k].sum(0)) for k in set(region)]
    )
    well_seen = (pooled > 100).all(axis=(0, 1))
    assert well_seen.sum() > 300
    ratio = np.log(pooled[:, 0, well_seen] / pooled[:, 1, well_seen])
    # What remains is the platform's effect on each gene: the same in every region, 20 % wide.
    assert 0.1 < ratio.mean(axis=0).std() < 0.3
    assert (ratio - ratio.mean(axis=0)).std() < 0.15
    # Over spots too, for the genes whose expression differs most between cell types.
    varying = np.flatnonzero(expected.std(axis=0) > 2 * np.sqrt(expected.mean(axis=0)))
    assert varying.size > 20
    by_gene = [np.corrcoef(expected[:, g], observed[:, g])[0, 1] for g in varying]
    assert np.median(by_gene) > 0.8


def test_marker_genes_are_found_where_their_cells_are(sample: Sample) -> None:
    markers = {
        "MOBP": "WM",
        "PCP4": "L5",
        "CUX2": "L2/3",
        "CA9": "necrosis",
        "MS4A1": "immune aggregate",
    }
    adata = sample.section.adata
    region = adata.obs["region"].to_numpy()
    depth = adata.X.sum(axis=1).A.ravel()
    present = [gene for gene in markers if gene in adata.var_names]
    assert len(present) >= 2
    for gene in present:
        rate = adata[:, gene].X.toarray().ravel() / depth
        means = {name: rate[region == name].mean() for name in set(region)}
        assert max(means, key=means.get) == markers[gene]


def test_least_squares_with_the_reference_recovers_the_truth(sample: Sample) -> None:
    chosen = np.random.default_rng(1).choice(sample.section.n_spots, 300, replace=False)
    profiles = mean_profiles(sample)
    observed = sample.section.adata.X[chosen].toarray()
    observed = observed / observed.sum(axis=1, keepdims=True)
    found = np.array([nnls(profiles.T * 1e3, spot * 1e3)[0] for spot in observed])
    found /= found.sum(axis=1, keepdims=True)
    truth = sample.proportions.to_numpy()[chosen]
    error = np.sqrt(((found - truth) ** 2).mean())
    chance = np.sqrt(((truth.mean(axis=0) - truth) ** 2).mean())
    assert error < 0.6 * chance
    assert np.corrcoef(found.ravel(), truth.ravel())[0, 1] > 0.85


@pytest.mark.parametrize("simulate", SIMULATIONS.values(), ids=SIMULATIONS)
def test_the_seed_decides_every_bit(simulate) -> None:
    small = {"rows": 24, "n_genes": 120, "image_size": 400}
    one, same, other = simulate(**small), simulate(**small), simulate(**small, seed=1)
    assert one.section.adata.obs.equals(same.section.adata.obs)
    assert one.proportions.equals(same.proportions)
    assert (one.section.adata.X != same.section.adata.X).nnz == 0
    assert (one.reference.X != same.reference.X).nnz == 0
    np.testing.assert_array_equal(one.section.images[0].pixels, same.section.images[0].pixels)
    np.testing.assert_array_equal(one.section.positions, same.section.positions)
    assert (one.section.images[0].pixels != other.section.images[0].pixels).any()
    assert list(one.section.adata.obs_names) != list(other.section.adata.obs_names)


def test_a_gene_has_one_identifier_in_every_panel() -> None:
    small = {"rows": 16, "image_size": 200}
    cortex = simulate_cortex(**small).section.adata.var["gene_ids"]
    tumour = simulate_tumour(**small).section.adata.var["gene_ids"]
    shared = cortex.index.intersection(tumour.index)
    assert len(shared) > 100
    assert (cortex[shared] == tumour[shared]).all()
    assert not set(cortex.drop(shared)) & set(tumour)


def test_a_large_section_has_exactly_the_spots_asked_for() -> None:
    sample = simulate_large(5003, n_types=7, n_genes=60)
    assert sample.section.adata.shape == (5003, 60)
    assert sample.proportions.shape == (5003, 7)
    np.testing.assert_allclose(sample.proportions.sum(axis=1), 1.0, atol=1e-9)
    assert sample.section.images == ()
    assert sample.section.adata.obs_names.is_unique
    positions = sample.section.positions * sample.section.micrometres_per_pixel
    nearest = cKDTree(positions).query(positions, k=2)[0][:, 1]
    np.testing.assert_allclose(nearest, 100.0, atol=1e-6)
    extent = np.ptp(positions, axis=0)
    assert 0.8 < extent[0] / extent[1] < 1.25
    again = simulate_large(5003, n_types=7, n_genes=60)
    assert (sample.section.adata.X != again.section.adata.X).nnz == 0
    assert sample.proportions.equals(again.proportions)


@pytest.mark.parametrize(
    ("simulate", "where"),
    [
        (lambda: simulate_cortex(rows=4), "rows"),
        (lambda: simulate_tumour(n_genes=20), "n_genes"),
        (lambda: simulate_tumour(n_genes=100_000), "n_genes"),
        (lambda: simulate_cortex(image_size=10), "image_size"),
        (lambda: simulate_cortex(median_counts=0), "median_counts"),
        (lambda: simulate_large(0), "n_spots"),
        (lambda: simulate_large(10, n_types=0), "n_types"),
        (lambda: simulate_large(10, n_types=20, n_genes=30), "n_genes"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(simulate, where: str) -> None:
    with pytest.raises(InputError) as refused:
        simulate()
    assert refused.value.where == where


def test_a_sample_can_be_saved_and_read_again(sample: Sample, tmp_path) -> None:
    import anndata

    sample.section.adata.write_h5ad(tmp_path / "section.h5ad")
    again = anndata.read_h5ad(tmp_path / "section.h5ad")
    assert (again.X != sample.section.adata.X).nnz == 0
    assert again.obsm["proportions"].equals(sample.proportions)
    assert again.obs["region"].equals(sample.section.adata.obs["region"])


def test_importing_the_simulator_loads_nothing_heavy() -> None:
    code = (
        "import sys, napari_smoother.sample_data\n"
        "heavy = {'scanpy', 'napari', 'torch', 'anndata', 'matplotlib', 'numba', 'qtpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
