"""The tables of `pocketvision models info --layers`."""

from typing import TYPE_CHECKING

from pocketvision.cli.terminal import stdout

if TYPE_CHECKING:
    from pocketvision.costs.layer_cost import LayerCost, NetworkCosts, PartCost, RuntimeProfile

LONGEST_KINDS = 5


def print_costs(costs: "NetworkCosts", *, layers: bool) -> None:
    """Layers, if wanted, then the parts and the sums."""
    if layers:
        _print_layers(costs)
        stdout().print()
    _print_parts(costs)
    if any(layer.sees_all for layer in costs.layers):
        stdout().print(
            "Sees: pixels of the picture that one number depends on through kernels and windows; * something over the whole "
            "picture reaches it too (squeeze-and-excitation, global pooling, attention).",
            soft_wrap=True,
        )
    if any(not layer.shape for layer in costs.layers):
        stdout().print("A dash: no head reads this layer, and it does not run.", soft_wrap=True)
    for profile in costs.profiles:
        _print_profile(profile, costs.peak_gflops_per_second or 0.0)


def _print_parts(costs: "NetworkCosts") -> None:
    from rich.table import Table

    runtimes = [profile.runtime for profile in costs.profiles]
    columns = ("Part", "Learns", "Frozen", "MACs", "Activations", "Sees")
    table = Table(*columns, *(f"{runtime} ms" for runtime in runtimes), box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for part in (*costs.parts, costs.total):
        table.add_row(
            part.name,
            f"{part.trainable:,}",
            f"{part.frozen:,}",
            f"{part.macs / 1e6:,.1f} M",
            f"{part.activations / 1e6:.2f} M",
            _sees(part),
            *(f"{part.milliseconds.get(runtime, 0.0):.2f}" for runtime in runtimes),
        )
    stdout().print(table)


def _print_layers(costs: "NetworkCosts") -> None:
    from rich.table import Table

    runtimes = [profile.runtime for profile in costs.profiles]
    columns = ("Layer", "Kind", "Output", "Parameters", "MACs", "Memory", "Sees")
    timed = [column for name in runtimes for column in (f"{name} ms", "share", "GFLOP/s")]
    table = Table(*columns, *timed, box=None, header_style="bold")
    for column in table.columns[2:]:
        column.justify = "right"
    for layer in costs.layers:
        table.add_row(
            layer.name,
            layer.kind,
            "x".join(map(str, layer.shape)) or "–",
            f"{layer.parameters:,}{'' if layer.trainable or not layer.parameters else ' frozen'}",
            f"{layer.macs / 1e6:.2f} M",
            _size(4 * (layer.parameters + layer.activations)),
            _sees(layer),
            *(cell for runtime in runtimes for cell in _timing(layer, runtime)),
        )
    stdout().print(table)


def _timing(layer: "LayerCost", runtime: str) -> tuple[str, str, str]:
    found = layer.timings.get(runtime)
    if found is None:
        return "–", "", ""
    return f"{found.milliseconds:.3f}", f"{found.share:.1%}", f"{found.gflops_per_second:.0f}" if layer.macs else ""


def _sees(each: "LayerCost | PartCost") -> str:
    if each.field is None:
        return "–"
    height, width = each.field
    return f"{height} px" + (f" x {width}" if width != height else "") + ("*" if each.sees_all else "")


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _print_profile(profile: "RuntimeProfile", peak: float) -> None:
    kinds = ", ".join(f"{kind} {spent:.2f} ms" for kind, spent in list(profile.kinds.items())[:LONGEST_KINDS])
    memory = "" if profile.peak_memory is None else f", at most {_size(profile.peak_memory)} of tensors at once"
    stdout().print(
        f"{profile.runtime}: {profile.milliseconds:.2f} ms a batch of {profile.batch} on {profile.threads} thread(s), "
        f"{profile.gflops_per_second:.1f} GFLOP/s: {profile.share_of_peak:.0%} of the {peak:.1f} that a large matrix product "
        f"reaches here{memory}. Between layers: {profile.elsewhere:.2f} ms. Longest: {kinds}",
        soft_wrap=True,
    )
