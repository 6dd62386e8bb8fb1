# SPDX-License-Identifier: MIT
"""Self-distillation in PyTorch, by the recipe that train_dino takes by itself for grey images: the student, both
objectives, views, schedules and the judgement by nearest neighbours. Written from the papers (arXiv 2104.14294,
2502.10385); nothing is shared with the C++ library but the recipe.

A row is an image or a token here, a view is [B, 1, height, width], features are [B, p].
"""

import functools
import math

import numpy
import torch
from torch import nn
from torch.nn import functional as F

from published_models import Crate


class WeightNormalised(nn.Module):
    """A linear map without a bias whose rows have length 1."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.directions = nn.Parameter(nn.Linear(inputs, outputs, bias=False).weight.detach())

    def forward(self, x):
        return x @ F.normalize(self.directions, dim=1).T


class Student(nn.Module):
    """The encoder of a classifier, and a projection head in the place of its last map. Features have length 1, unless
    `outputs` of DINO follow."""

    def __init__(self, encoder, dim, hidden, bottleneck, outputs=0):
        super().__init__()
        self.encoder = encoder
        self.projection = nn.ModuleDict({"first": nn.Linear(dim, hidden), "second": nn.Linear(hidden, hidden),
                                         "bottleneck": nn.Linear(hidden, bottleneck)})
        for linear in self.projection.values():
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        for parameter in (encoder.cls_token, encoder.pos_embedding):
            nn.init.normal_(parameter, std=0.02)
        if outputs:
            self.projection["outputs"] = WeightNormalised(bottleneck, outputs)

    def positions(self, patches):
        """The learnt table, stretched to a grid of so many patches as the published code does it."""
        table = self.encoder.pos_embedding
        own = table.shape[1] - 1
        if patches == own:
            return table
        side, new_side = math.isqrt(own), math.isqrt(patches)
        grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = (new_side + 0.1) / side
        grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", recompute_scale_factor=False)
        return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, patches, -1)], dim=1)

    def pooled(self, images):
        """What is judged: the pooled token behind the last norm."""
        x = self.encoder.to_patch_embedding(images)
        x = torch.cat([self.encoder.cls_token.expand(len(x), -1, -1), x], dim=1) + self.positions(x.shape[1])
        x = self.encoder.transformer(x)
        return self.encoder.mlp_head[0](x.mean(dim=1) if self.encoder.pool == "mean" else x[:, 0])

    def forward(self, images):
        x = F.gelu(self.projection["first"](self.pooled(images)))
        x = F.normalize(self.projection["bottleneck"](F.gelu(self.projection["second"](x))), dim=1)
        return self.projection["outputs"](x) if "outputs" in self.projection else x


def small_student(outputs=0, side=28, patch=7, dim=96, depth=4, heads=4, hidden=256, bottleneck=64, classes=10):
    encoder = Crate((side, side), (patch, patch), 1, classes, dim, depth, heads, dim // heads, pool="mean")
    return Student(encoder, dim, hidden, bottleneck, outputs)


# The objectives. `student` has the features of all views, `teacher` of the first ones, the global views.

def pairs(student, teacher):
    return [(g, v) for g in range(len(teacher)) for v in range(len(student)) if g != v]


def coding_rate(features, squared_epsilon):
    """1/2 log det(I + p / (m epsilon^2) W^T W) of m features of p entries."""
    m, p = features.shape
    identity = torch.eye(p, dtype=features.dtype)
    return 0.5 * torch.logdet(identity + p / (m * squared_epsilon) * features.T @ features)


def spread_of_features(features, squared_epsilon):
    """Where their coding rate stands between that of equal features, 0, and that of a flat spectrum, 1."""
    features = F.normalize(features.detach().double(), dim=1)
    m, p = features.shape
    s, r = p / (m * squared_epsilon), min(m, p)
    least, most = 0.5 * math.log1p(s * m), 0.5 * r * math.log1p(s * m / r)
    return (coding_rate(features, squared_epsilon).item() - least) / (most - least)


def spread_of_targets(targets):
    """(entropy of the mean - mean of the entropies) / log min(outputs, images)."""
    entropy = lambda q: -torch.special.xlogy(q, q).sum(-1)
    return ((entropy(targets.mean(0)) - entropy(targets).mean()) / math.log(min(targets.shape))).item()


class CodingRate:
    outputs, rate = 0, 4e-3

    def __init__(self, squared_epsilon=0.05, weight=1):
        self.squared_epsilon, self.weight = squared_epsilon, weight

    def loss(self, student, teacher):
        comparison = torch.stack([(teacher[g] * student[v]).sum(1).mean() for g, v in pairs(student, teacher)]).mean()
        m, p = student[0].shape
        rates = [coding_rate((s + t) / 2, self.squared_epsilon) for s, t in zip(student, teacher)]
        return -self.weight * comparison - (p + m) / (p * m) * torch.stack(rates).mean()

    def spread(self, features):
        return spread_of_features(features, self.squared_epsilon)

    def after_step(self, teacher):
        pass


class Dino:
    rate = 1e-3

    def __init__(self, outputs=1024, student_temperature=0.1, teacher_temperature=0.04, centre_momentum=0.5):
        self.outputs, self.centre, self.centre_momentum = outputs, torch.zeros(outputs), centre_momentum
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature

    def targets(self, teacher):
        return torch.softmax((teacher - self.centre) / self.teacher_temperature, dim=1)

    def loss(self, student, teacher):
        targets = [self.targets(t) for t in teacher]
        logs = [F.log_softmax(s / self.student_temperature, dim=1) for s in student]
        return torch.stack([-(targets[g] * logs[v]).sum(1).mean() for g, v in pairs(student, teacher)]).mean()

    def spread(self, features):
        return spread_of_targets(self.targets(features.detach()).double())

    def after_step(self, teacher):
        mean = torch.cat(list(teacher)).mean(0)
        self.centre = self.centre_momentum * self.centre + (1 - self.centre_momentum) * mean


# The views.

@functools.lru_cache(maxsize=None)
def resizing(size, new_size):
    """The matrix new_size x size of PyTorch's own bicubic resizing."""
    identity = torch.eye(size, dtype=torch.float64)[None, None]
    return F.interpolate(identity, size=(new_size, size), mode="bicubic", antialias=True)[0, 0].numpy()


def blurring(size, deviation):
    """The matrix of a Gaussian blur, cut at four deviations, of an axis that goes on in a mirror."""
    radius = math.ceil(4 * deviation)
    bell = numpy.exp(-0.5 * (numpy.arange(-radius, radius + 1) / deviation) ** 2)
    bell /= bell.sum()
    mirrored = numpy.pad(numpy.eye(size), ((radius, radius), (0, 0)), "symmetric")
    return sum(weight * mirrored[t:t + size] for t, weight in enumerate(bell))


def draw_box(draws, side, least_area, most_area):
    for _ in range(10):
        area = side * side * draws.uniform(least_area, most_area)
        aspect = math.exp(draws.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 1 <= width <= side and 1 <= height <= side:
            top = draws.below(side - height + 1)
            return top, draws.below(side - width + 1), height, width
    return 0, 0, side, side


class Views:
    """Two global and some local views of square grey images with values in [0, 1]."""

    def __init__(self, side=28, local_side=14, locals=4, border=0.4, least_area=0.15, largest_blur=0.7):
        self.side, self.border, self.largest_blur = side, border, largest_blur
        whole, part = (side, border, 1.0), (local_side, least_area, border)
        # side, least and largest area, probabilities of blur and of bright becoming dark
        self.kinds = [(*whole, 1.0, 0.0), (*whole, 0.1, 0.2)] + [(*part, 0.5, 0.0)] * locals

    def draw(self, image, v, draws):
        """View v of an image. All numbers are drawn whether they are needed or not, and in this order."""
        side, least_area, most_area, blur, solarise = self.kinds[v]
        draws.begin_view()
        mirrored = draws.below(2) == 1
        draws.begin_changes()
        jittered = draws.uniform(0, 1) < 0.8
        factors = [draws.uniform(0.6, 1.4), draws.uniform(0.6, 1.4), draws.uniform(1, 1), draws.uniform(0, 0)]
        order = list(range(4))
        for i in (3, 2, 1):
            j = draws.below(i + 1)
            order[i], order[j] = order[j], order[i]
        draws.uniform(0, 1)  # grey pictures stay as they are
        blurred, deviation = draws.uniform(0, 1) < blur, draws.uniform(0.1, self.largest_blur)
        solarised = draws.uniform(0, 1) < solarise
        top, left, height, width = draw_box(draws, self.side, least_area, most_area)

        view = resizing(height, side) @ image[top:top + height, left:left + width] @ resizing(width, side).T
        view = view.clip(0, 1)
        if mirrored:
            view = view[:, ::-1]
        for change in order if jittered else ():
            if change == 0:
                view = (factors[0] * view).clip(0, 1)
            elif change == 1:
                view = (factors[1] * view + (1 - factors[1]) * view.mean()).clip(0, 1)
        if blurred:
            blur_matrix = blurring(side, deviation)
            view = blur_matrix @ view @ blur_matrix.T
        return numpy.where(view < 0.5, view, 1 - view) if solarised else view


class OwnDraws:
    """Random numbers of Python's own generator."""

    def __init__(self, generator):
        self.generator = generator

    def begin_view(self):
        pass

    def begin_changes(self):
        pass

    def uniform(self, low, high):
        return low + (high - low) * self.generator.random()

    def below(self, count):
        return self.generator.randrange(count)


# The training.

def half_cosine(begin, end, step, steps):
    return end + (begin - end) * (1 + math.cos(math.pi * step / steps)) / 2


class Training:
    """Steps of a student against its moving average: AdamW with schedules by step, each parameter clipped by its own
    norm."""

    def __init__(self, student, teacher, objective, steps, steps_per_epoch, last_rate=1e-6, warm_up=0.5,
                 decays=(0.04, 0.4), momentum=0.99, clip=3, frozen_epochs=1):
        self.student, self.teacher, self.objective = student, teacher.requires_grad_(False), objective
        self.steps, self.step_number, self.frozen_steps = steps, 0, frozen_epochs * steps_per_epoch
        self.rate, self.last_rate = objective.rate, last_rate
        self.warm_up = min(math.floor(warm_up * steps_per_epoch + 0.5), steps)
        self.decays, self.momentum, self.clip = decays, momentum, clip
        trained = [parameter for name, parameter in student.named_parameters() if "mlp_head.1" not in name]
        is_vector = lambda parameter: max(parameter.shape) == parameter.numel()
        groups = [{"params": [p for p in trained if not is_vector(p)]},
                  {"params": [p for p in trained if is_vector(p)], "weight_decay": 0}]
        self.trained, self.optimiser = trained, torch.optim.AdamW(groups, lr=self.rate)

    def schedule(self):
        step = self.step_number
        if step < self.warm_up:
            rate = self.rate * (step + 1) / self.warm_up
        else:
            rate = half_cosine(self.rate, self.last_rate, step - self.warm_up, self.steps - self.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.param_groups[0]["weight_decay"] = half_cosine(*self.decays, step, self.steps)

    def gradient(self, views):
        """The loss of a batch and the teacher's features; parameters get their gradient."""
        self.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            targets = [self.teacher(view) for view in views[:2]]
        loss = self.objective.loss([self.student(view) for view in views], targets)
        loss.backward()
        return loss.item(), targets

    def step(self, views):
        loss, targets = self.gradient(views)
        for parameter in self.trained:
            nn.utils.clip_grad_norm_([parameter], self.clip)
        if self.objective.outputs and self.step_number < self.frozen_steps:
            self.student.projection["outputs"].directions.grad = None
        self.schedule()
        self.optimiser.step()
        self.objective.after_step(targets)
        momentum = half_cosine(self.momentum, 1, self.step_number, self.steps)
        with torch.no_grad():
            for average, parameter in zip(self.teacher.parameters(), self.student.parameters()):
                average.mul_(momentum).add_(parameter, alpha=1 - momentum)
        self.step_number += 1
        return loss


def nearest_neighbour_accuracy(known, known_labels, asked, asked_labels, neighbours=20, temperature=0.07):
    """For what share of the asked most neighbours vote rightly: those of largest cosine, each by
    exp(cosine / temperature)."""
    known, asked = F.normalize(known, dim=1), F.normalize(asked, dim=1)
    similarity, index = (asked @ known.T).topk(neighbours, dim=1)
    classes = int(known_labels.max()) + 1
    weights = ((similarity - 1) / temperature).exp()
    votes = torch.zeros(len(asked), classes).scatter_add_(1, known_labels[index], weights)
    return (votes.argmax(1) == asked_labels).double().mean().item()
