"""The loudest tone of a signal. With numpy the signal comes as its array; without, as a list."""
import cmath


def peak(samples, rate, *, skip=1):
    """The frequency with the most power, in the unit of `rate`, and that power. The lowest `skip` frequencies do not count."""
    count = len(samples)
    if count == 0:
        raise ValueError("no samples")
    best = (0.0, 0.0)
    for bin in range(skip, count // 2 + 1):
        sum_of_all = sum(sample * cmath.exp(-2j * cmath.pi * bin * at / count) for at, sample in enumerate(samples))
        power = abs(sum_of_all) / count
        if power > best[1]:
            best = (bin * rate / count, power)
    return {"frequency": best[0], "power": best[1]}
