# SPDX-License-Identifier: MIT
"""The random numbers of the C++ library (core/random.hpp, Philox-4x32-10): what it draws can be drawn here too."""


def stream_of_name(name):
    """As detail::stream_of_name: FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


class CountedDraws:
    """The numbers of crate::Random, from one of its places on; of a view of an image as draw_view takes them."""

    def __init__(self, seed, stream, start=0):
        self.seed, self.stream, self.start, self.position = seed, stream % (1 << 64), start, start

    def begin_view(self):
        self.position = self.start + 2  # behind the place of the picture, which does not move

    def begin_changes(self):
        self.position = self.start + 4

    def bits(self):
        low = lambda x: x & 0xFFFFFFFF
        counter = [low(self.position // 2), self.position // 2 >> 32, low(self.stream), self.stream >> 32]
        key = [low(self.seed), self.seed >> 32]
        for _ in range(10):
            first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
            counter = [second >> 32 ^ counter[1] ^ key[0], low(second), first >> 32 ^ counter[3] ^ key[1], low(first)]
            key = [low(key[0] + 0x9E3779B9), low(key[1] + 0xBB67AE85)]
        half = 2 * (self.position % 2)
        self.position += 1
        return counter[half] | counter[half + 1] << 32

    def uniform(self, low, high):
        return low + (high - low) * (self.bits() >> 11) * 2.0**-53

    def below(self, count):
        draw = self.bits()
        while draw < (1 << 64) % count:
            draw = self.bits()
        return draw % count


def shuffled(size, seed, stream):
    order, draws = list(range(size)), CountedDraws(seed, stream)
    for i in range(size - 1, 0, -1):
        j = draws.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order
