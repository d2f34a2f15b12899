"""A seed on paper: as words (BIP-39), and as shares of which some give it back (SLIP-39).

The words stand for the seed's own octets; BIP-39's further derivation for wallets is not used.
"""

import hmac

from mnemonic import Mnemonic
from ras.keys import MIN_SEED
from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from ringkey.errors import UserError

# Octets that BIP-39 has words for: 12, 15, 18, 21 and 24 of them.
SIZES = (16, 20, 24, 28, 32)
# SLIP-39 allows 16 shares in a group; more than that no site keeps in different safes.
MAX_SHARES = 16


def to_words(seed: bytes) -> str:
    """Return the seed as 12 to 24 words; raises UserError for a length that BIP-39 has no words for."""
    if len(seed) not in SIZES:
        raise UserError(f"a seed of {len(seed)} octets has no words: those have {_sizes()}")
    return Mnemonic("english").to_mnemonic(seed)


def from_words(text: str) -> bytes:
    """Return the seed of its words, in any case and spacing.

    Raises UserError, which shows none of the words: a wrong number, an unknown word (by its
    place), or words whose own check does not hold.
    """
    book = Mnemonic("english")
    words = text.lower().split()
    if len(words) not in (12, 15, 18, 21, 24):
        raise UserError(
            f"a seed has 12, 15, 18, 21 or 24 words; these are {len(words)}", "ringkey seed enter"
        )
    unknown = [str(i) for i, word in enumerate(words, 1) if word not in book.wordlist]
    if unknown:
        raise UserError(f"not in the list of words: word {', '.join(unknown)}", "ringkey seed enter")
    try:
        return bytes(book.to_entropy(words))
    except (ValueError, LookupError):
        raise UserError(
            "the words' own check does not hold: one of them is another, or two changed places",
            "ringkey seed enter",
        ) from None


def split(seed: bytes, need: int, count: int) -> list[str]:
    """Return `count` shares, each a line of words, any `need` of which give the seed back.

    Raises UserError for numbers or seeds that SLIP-39 has no shares for.
    """
    if not 2 <= need <= count <= MAX_SHARES:
        raise UserError(
            f"{need}-of-{count}: 2 to {MAX_SHARES} shares, of which 2 or more are needed",
            "ringkey seed split --help",
            usage=True,
        )
    if len(seed) % 2 or len(seed) < MIN_SEED:
        raise UserError(f"a seed of {len(seed)} octets has no shares: SLIP-39 wants an even number")
    shares: list[str] = generate_mnemonics(1, [(need, count)], seed)[0]
    # Before anybody relies on them: what was made is what gives the seed back.
    for chosen in (shares[:need], shares[-need:]):
        if not hmac.compare_digest(combine_mnemonics(chosen), seed):
            raise RuntimeError("SLIP-39 shares do not give the seed back")
    return shares


def join(shares: list[str]) -> bytes:
    """Return the seed of enough shares; raises UserError, which shows none of their words."""
    try:
        return bytes(combine_mnemonics([" ".join(share.lower().split()) for share in shares]))
    except (MnemonicError, ValueError, LookupError):
        raise UserError(
            "these shares do not give a seed: too few, of different seeds, one twice, or with a wrong word",
            "ringkey seed join",
        ) from None


def needed(share: str) -> int:
    """Return how many shares the seed of this one needs; raises UserError where it is no share."""
    from shamir_mnemonic import Share

    try:
        return int(Share.from_mnemonic(" ".join(share.lower().split())).member_threshold)
    except (MnemonicError, ValueError, LookupError):
        raise UserError(
            "this is no share: a word is missing, wrong or misplaced", "ringkey seed join"
        ) from None


def _sizes() -> str:
    return ", ".join(map(str, SIZES[:-1])) + f" or {SIZES[-1]}"
