"""Arithmetic, exact and bounded."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import ToolException

from agentgraph.tools.builtin import calculate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2+3*4", "14"), ("(19.99 * 3) / 2", "29.985"), ("2**10", "1024"), ("-7 // 2", "-4"), ("7 % 4", "3"),
        ("1e3", "1000"), ("0.1+0.2", "0.3"), ("0.1*3", "0.3"), ("1/3*3", "1"), ("1 - 0.9", "0.1"), ("10/4", "2.5"),
        ("10/3", "3.33333333333333"), ("2/3", "0.666666666666667"), ("2**-3", "0.125"), ("-1/8", "-0.125"),
        ("123456789012345678901234567890 * 2", "246913578024691357802469135780"),
        ("10**40 // 3", "3333333333333333333333333333333333333333"),
        ("0.12345678901234567890123", "0.12345678901234567890123"),
        ("1_000.5 * 2", "2001"), ("0b11 + 0x1F", "34"), ("2^10 + 1", "1025"), ("6 × 7 ÷ 2 − 1", "20"),
        ("sqrt(16)", "4"), ("sqrt(2.25)", "1.5"), ("sqrt(2)", "1.4142135623731"), ("8**(1/3)", "2"),
        ("cbrt(-27)", "-3"),
        ("(4/9)**0.5", "0.666666666666667"), ("(4/9)**0.5*3", "2"), ("2**0.5", "1.4142135623731"),
        ("sin(pi)", "0"), ("cos(pi/2)", "0"), ("sin(π/6)", "0.5"), ("sin(1e-20)", "1e-20"), ("degrees(pi)", "180"),
        ("log(100, 10)", "2"), ("log10(1000)", "3"), ("log2(8)", "3"), ("ln(e)", "1"),
        ("log(10**3000)", "6907.75527898214"),
        ("exp(0)", "1"), ("factorial(20)", "2432902008176640000"), ("comb(52, 5)", "2598960"), ("perm(10, 3)", "720"),
        ("gcd(12, 18)", "6"), ("lcm(4, 6)", "12"), ("round(2.675, 2)", "2.68"), ("round(2.5)", "2"),
        ("floor(-1.5)", "-2"),
        ("ceil(1.2)", "2"), ("abs(-3)", "3"), ("min(3, 1, 2)", "1"), ("max(1, 2.5)", "2.5"), ("sum(1, 2, 3)", "6"),
        ("hypot(3, 4)", "5"), ("pow(2, 10)", "1024"), ("1**10**12", "1"), ("(-1)**(10**12 + 1)", "-1"), ("0**0", "1"),
        ("SQRT(PI ** 2)", "3.14159265358979"),
    ],
)  # fmt: skip
def test_arithmetic_is_right(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("9**9**9", "too large"), ("9**99999999", "too large"), ("(10**900)**900", "too large"),
        ("10**1000*10**1000*10**1000*10**1000", "too large"), ("1e999999999", "too large"),
        ("1e-999999999", "too large"),
        ("9.5**9.5**9.5", "too large"), ("exp(1000)", "too large"), ("factorial(10**9)", "too large"),
        ("comb(10**6, 5*10**5)", "too large"), ("perm(10**9, 10**8)", "too large"), ("0.1**10**9", "too large"),
        ("1 + " * 100_000 + "1", "characters"), ("9" * 10**6, "characters"), ("round(1, 10**9)", "at most"),
        ("-" * 900 + "1", "deep"), ("(" * 400 + "1" + ")" * 400, "nest"), ("1/0", "division by zero"),
        ("0**-1", "division by zero"), ("5 % 0", "division by zero"), ("sqrt(-1)", "not a real number"),
        ("(-8)**0.5", "not a real number"), ("log(-1)", "no real value"), ("factorial(2.5)", "whole"),
        ("factorial(-1)", "no real value"), ("asin(2)", "no real value"), ("sqrt()", "takes 1"),
        ("sin(1, 2)", "takes 1"),
        ("log10(0)", "no real value"), ("1,000 + 2", "comma"), ("1 +", "cannot calculate"), ("", "cannot calculate"),
        ("100!", "cannot calculate"), ("a+1", "not known"), ("__import__('os')", "not known"),
        ("().__class__", "not arithmetic"),
        ("'x'*9", "real numbers"), ("True+1", "real numbers"), ("1j", "real numbers"), ("None", "real numbers"),
        ("1 if 1 else 2", "not arithmetic"), ("lambda: 1", "not arithmetic"), ("[1]", "not arithmetic"),
        ("max(*[1])", "not arithmetic"), ("round(1, digits=2)", "not known"),
        ("(1).real", "not arithmetic"), ("1 < 2", "not arithmetic"),
        ("1\0", "cannot calculate"), ("1\ud800", "cannot calculate"),
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_or_too_large_is_an_error_at_once(expression: str, said: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ToolException, match=said):
        calculate(expression)
    assert time.perf_counter() - began < 1


@given(st.text(alphabet="0123456789+-*/%^().,e sqrtfacolgpi_", max_size=60))
def test_whatever_is_typed_ends_in_a_number_or_in_words(expression: str) -> None:
    began = time.perf_counter()
    with suppress(ToolException):
        assert calculate(expression)
    assert time.perf_counter() - began < 2


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(0, 6))
def test_decimals_add_up_exactly(a: int, b: int, places: int) -> None:
    one, other = (f"{n // 10**places}.{n % 10**places:0{places}}" if places else str(n) for n in (abs(a), abs(b)))
    assert calculate(f"({one} + {other}) * {10**places}") == str(abs(a) + abs(b))
