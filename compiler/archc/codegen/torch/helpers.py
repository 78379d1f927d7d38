"""Small functions that emitted files carry where they use them: what torch has in several steps. Text, by name."""

from __future__ import annotations

HELPERS = {
    "_save_by_source": '''\
def _save_by_source(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Saves what Python or nn.Module owns the name of under its name in the source."""
    for key in list(state):
        name, dot, rest = key.removeprefix(prefix).partition(".")
        if key.startswith(prefix) and name in module.source_names:
            state[f"{prefix}{module.source_names[name]}{dot}{rest}"] = state.pop(key)
''',
    "_load_by_source": '''\
def _load_by_source(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Reads what `_save_by_source` saved."""
    names = {source: name for name, source in module.source_names.items()}
    for key in list(state):
        source, dot, rest = key.removeprefix(prefix).partition(".")
        if key.startswith(prefix) and source in names:
            state[f"{prefix}{names[source]}{dot}{rest}"] = state.pop(key)
''',
    "_batch_norm": '''\
def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """x normalized over all dimensions but the second; their mean and variance, without derivative, nan where x is empty."""
    if x.numel() == 0:
        nothing = x.new_full((x.shape[1],), math.nan)
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, eps), nothing, nothing
    y, mean, inverse = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
    return y, mean.detach(), inverse.detach() ** -2 - eps
''',
    "_dropout": '''\
def _dropout(x: Tensor, p: float, training: bool, generator: torch.Generator | None) -> Tensor:
    """F.dropout, which draws the same; by the caller's generator where one is given."""
    if generator is None or not training:
        return F.dropout(x, p, training)
    return x * torch.empty_like(x).bernoulli_(1 - p, generator=generator) / (1 - p)
''',
    "_solve": '''\
def _solve(a: Tensor, b: Tensor) -> Tensor:
    """x with a @ x == b. torch.linalg has no half types: they are solved in float32."""
    dtype = torch.promote_types(a.dtype, b.dtype)
    whole = torch.promote_types(dtype, torch.float32)
    return torch.linalg.solve(a.to(whole), b.to(whole)).to(dtype)
''',
    "_triangular": '''\
def _triangular(a: Tensor, b: Tensor, *, upper: bool) -> Tensor:
    """x with t @ x == b for a triangle t of a. torch.linalg has no half types: they are solved in float32."""
    dtype = torch.promote_types(a.dtype, b.dtype)
    whole = torch.promote_types(dtype, torch.float32)
    return torch.linalg.solve_triangular(a.to(whole), b.to(whole), upper=upper).to(dtype)
''',
    "_cholesky": '''\
def _cholesky(a: Tensor) -> Tensor:
    """The lower factor of a's symmetric part. torch.linalg has no half types: they are factored in float32."""
    whole = a.to(torch.promote_types(a.dtype, torch.float32))
    return torch.linalg.cholesky((whole + whole.mT) / 2).to(a.dtype)
''',
    "_eigenvalues": '''\
def _eigenvalues(a: Tensor) -> Tensor:
    """The eigenvalues of a's symmetric part, rising. torch.linalg has no half types: they are computed in float32."""
    whole = a.to(torch.promote_types(a.dtype, torch.float32))
    return torch.linalg.eigvalsh((whole + whole.mT) / 2).to(a.dtype)
''',
    "_eigh": '''\
def _eigh(a: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues of a's symmetric part, rising, and their vectors. Half types are computed in float32."""
    whole = a.to(torch.promote_types(a.dtype, torch.float32))
    values, vectors = torch.linalg.eigh((whole + whole.mT) / 2)
    return values.to(a.dtype), vectors.to(a.dtype)
''',
}


def used(body: str) -> list[str]:
    """The texts of the helpers that a file calls, as lines."""
    return [text.rstrip("\n") for name, text in HELPERS.items() if f" {name}(" in body or f"({name}" in body]
