"""Small functions that emitted files carry where they use them: what torch has in several steps. Text, by name."""

from __future__ import annotations

import re

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
    "_fourier": '''\
def _fourier(transform: Any, x: Tensor, **options: Any) -> Tensor:
    """A transform of torch.fft. Half types, which it does not have, are computed in float32; a batch of none gives none."""
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    empty = [i for i, n in enumerate(x.shape) if n == 0]
    y: Tensor = transform(x.sum(empty, keepdim=True) if empty else x, **options)
    for i in empty:
        y = y.narrow(i, 0, 0)
    return y
''',
    "_complex": '''\
def _complex(dtype: torch.dtype | None) -> torch.dtype:
    """The type of complex numbers whose parts have a dtype."""
    parts = dtype or torch.get_default_dtype()
    if parts not in (torch.float32, torch.float64):
        raise ValueError(f"complex numbers are made of float32 or float64, not of {parts}")
    return parts.to_complex()
''',
    "_by_parts": '''\
def _by_parts(change: Any) -> Any:
    """What `.to` and the like do to floats, also done to the parts of complex numbers: torch would drop the imaginary ones."""

    def changed(x: Tensor) -> Tensor:
        parts: Tensor = change(torch.view_as_real(x) if x.is_complex() else x)
        return torch.view_as_complex(parts) if x.is_complex() and _complex(parts.dtype) else parts

    return changed
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
    return [text.rstrip("\n") for name, text in HELPERS.items() if re.search(rf"[ (=]{name}\b", body)]
