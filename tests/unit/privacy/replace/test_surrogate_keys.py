"""One pseudonym per person in an episode, or over the corpus of a tenant."""

from __future__ import annotations

from deputize.privacy.replace.surrogate_keys import SurrogateKeys

KEY = b"k" * 32
NAME, MAIL = "Jane Doe", "jane.doe@corp.com"


def tenant_of(episode: str) -> str:
    return episode.split("-")[0]


def test_episodes_are_not_linked_by_default() -> None:
    keys = SurrogateKeys(KEY)
    assert keys.of_episode("a-1", None).of("PERSON", NAME) != keys.of_episode("a-2", None).of("PERSON", NAME)
    assert keys.of_episode("a-1", None).of("PERSON", NAME) == keys.of_episode("a-1", None).of("PERSON", NAME)


def test_a_tenant_has_one_pseudonym_for_a_person_and_another_tenant_another() -> None:
    keys = SurrogateKeys(KEY, tenant_of)
    ours = [keys.of_episode(f"a-{n}", None) for n in range(3)]
    assert (
        len({one.of("PERSON", NAME) for one in ours})
        == len({one.of("EMAIL_ADDRESS", MAIL) for one in ours})
        == 1
    )
    made = ours[0].of("PERSON", NAME)
    assert ours[2].of("PERSON", "Doe") == made.split()[1], "also where the family name stands alone"
    assert keys.of_episode("b-1", None).of("PERSON", NAME) != made
    assert SurrogateKeys(b"x" * 32, tenant_of).of_episode("a-1", None).of("PERSON", NAME) != made, "keyed"


def test_two_people_never_share_one() -> None:
    keys = SurrogateKeys(KEY, tenant_of)
    people = [f"Name{'abcdefghij'[n // 10]}{'klmnopqrst'[n % 10]}" for n in range(100)]
    made = [keys.of_episode(f"a-{n}", None).of("PERSON", name) for n, name in enumerate(people)]
    assert len(set(made)) == len(people)


def test_dates_move_by_person_either_way() -> None:
    keys = SurrogateKeys(KEY, tenant_of)
    ann, bob = keys.subject_key("o_ann"), keys.subject_key("o_bob")
    born = [
        keys.of_episode(e, who).of("DATE_OF_BIRTH", "April 1985")
        for e, who in (("a-1", ann), ("a-2", ann), ("a-3", bob))
    ]
    assert born[0] == born[1] != born[2]
    assert keys.of_episode("a-1", None).n_days != keys.of_episode("a-2", None).n_days


def test_a_template_has_the_tenants_pseudonyms_where_there_is_one_tenant() -> None:
    one = SurrogateKeys(KEY, tenant_of, frozenset({"a"}))
    assert one.of_site("s").of("PERSON", NAME) == one.of_episode("a-1", None).of("PERSON", NAME)
    two = SurrogateKeys(KEY, tenant_of, frozenset({"a", "b"}))
    assert two.of_site("s").of("PERSON", NAME) not in {
        two.of_episode(e, None).of("PERSON", NAME) for e in ("a-1", "b-1")
    }
