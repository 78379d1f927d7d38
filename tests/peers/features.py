"""Random features and collaborative filtering in plain torch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReLUFeatures(nn.Module):
    """arXiv 2310.13225 with f = ReLU: Phi(x) = relu(G x) / sqrt(M) and trained weights in place of Phi of the old ones."""

    def __init__(self, i: int, o: int, m: int) -> None:
        super().__init__()
        self.register_buffer("direction", torch.randn(m, i))
        self.weight = nn.Parameter(torch.randn(o, m))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.clamp(F.linear(x, self.direction), min=0) / len(self.direction) ** 0.5, self.weight)


class RandomFeatureAttention(nn.Module):
    """arXiv 2307.11353: sum over m of the mean over i of relu(x0~ W_m x_i~) <v_m, x_i~>, head by head."""

    def __init__(self, d: int, m: int) -> None:
        super().__init__()
        self.register_buffer("head", 0.5 * torch.randn(m, d + 1, d + 1))
        self.value = nn.Parameter(torch.randn(m, d + 1))

    def forward(self, query: Tensor, x: Tensor) -> Tensor:
        query, x = F.pad(query, (0, 1), value=1.0), F.pad(x, (0, 1), value=1.0)
        total = query.new_zeros(len(query))
        for head, value in zip(self.head, self.value, strict=True):
            total = total + (F.relu(torch.einsum("na,ab,nib->ni", query, head, x)) * (x @ value)).mean(1)
        return total


class GMF(nn.Module):
    def __init__(self, users: int, items: int, k: int) -> None:
        super().__init__()
        self.user_embedding, self.item_embedding = (nn.Parameter(torch.randn(size, k)) for size in (users, items))
        self.weight, self.bias = nn.Parameter(torch.randn(k)), nn.Parameter(torch.randn(()))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return (F.embedding(user, self.user_embedding) * F.embedding(item, self.item_embedding)) @ self.weight + self.bias


class Tower(nn.Module):
    def __init__(self, users: int, items: int, width: int) -> None:
        super().__init__()
        self.user_embedding, self.item_embedding = (nn.Parameter(torch.randn(size, width)) for size in (users, items))
        sizes = [2 * width, width, width // 2, width // 4]
        self.weight1, self.weight2, self.weight3 = (nn.Parameter(torch.randn(o, i)) for i, o in pairwise(sizes))
        self.bias1, self.bias2, self.bias3 = (nn.Parameter(torch.randn(o)) for o in sizes[1:])

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        z = torch.cat([self.user_embedding[user], self.item_embedding[item]], -1)
        for weight, bias in ((self.weight1, self.bias1), (self.weight2, self.bias2), (self.weight3, self.bias3)):
            z = F.relu(F.linear(z, weight, bias))
        return z


class NeuralFiltering(nn.Module):
    """arXiv 1708.05031, equation 10."""

    def __init__(self, users: int, items: int, width: int) -> None:
        super().__init__()
        self.tower = Tower(users, items, width)
        self.weight, self.bias = nn.Parameter(torch.randn(width // 4)), nn.Parameter(torch.randn(()))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.tower(user, item) @ self.weight + self.bias


class NeuMF(nn.Module):
    """arXiv 1708.05031, equation 12."""

    def __init__(self, users: int, items: int, k: int, width: int) -> None:
        super().__init__()
        self.user_factor, self.item_factor = (nn.Parameter(torch.randn(size, k)) for size in (users, items))
        self.tower = Tower(users, items, width)
        self.weight, self.bias = nn.Parameter(torch.randn(k + width // 4)), nn.Parameter(torch.randn(()))

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        both = torch.cat([self.user_factor[user] * self.item_factor[item], self.tower(user, item)], -1)
        return both @ self.weight + self.bias
