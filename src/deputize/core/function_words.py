"""The words that recur most in running text of several languages, whatever it is about. Pure: no I/O."""

from __future__ import annotations

from typing import Final

_OF_LANGUAGES: Final = """
    a about after all also an and any are as at be because been before but by can could did do does for from had has have
    he her his how i if in into is it its me more most my no not of on only or our she should so some than that the their
    them then there these they this those to too us was we were what when where which while who will with would you your
    aber als am an auch auf aus bei bin bis da das dass dem den der des die dies diese dieser doch durch ein eine einem
    einen einer er es für haben hat ich ihr ihre im in ist ja kann mein mit nach nicht noch nur oder schon sehr sein sich
    sie sind so über um und uns unser vom von vor war was wenn wie wir wird zu zum zur
    au aux avec ce ces cette comme dans de des du elle en est et il ils je la le les leur lui mais ne nos notre nous on ou
    par pas pour plus qu que qui sa se ses si son sont sur un une vos votre vous
    al como con cuando del desde el ella en entre era es esta este fue ha hay la las lo los me mi muy más no nos o para
    pero por porque que se ser sin sobre son su sus también te tiene un una y ya
    che chi ci come con da dal dalla degli dei del della delle di e gli ha il io la le lei li lo ma nel nella non per più
    questo sono su sul sulla tra un una è
    ao aos as com da das do dos e ela ele em entre foi isso mais mas na nas no nos não o os ou para pela pelo por quando
    que se seu sua são também tem um uma você
    aan als bij dat de deze die door een en er geen haar heeft het hij ik in is je kan maar met naar niet nog of om onder
    ook op over te tot uit van voor was wat we wel werd worden zal zich zijn
    att av de den det du ett för från har inte jag kan med men och om på sig som till var vi är
    ale być co czy dla do i jak jest już ma na nie od oraz po przez się są to w z za że
    без бы был в во все вы для до его ее если за и из или к как мы на не но о он она они от по при с так то у что это я
"""
FUNCTION_WORDS: Final = frozenset(_OF_LANGUAGES.split())
_CHANGE_THE_SENSE: Final = frozenset(
    """
    after all any because before but can could do if most no not only should so than then until when while would
    aber als doch kann nach nicht noch nur oder vor wenn
    mais ne ni non pas plus sans si sino pero sin senza ma più não mas mais quando cuando
    als dan geen kan maar niet nog of voor inte men om från ale czy nie без бы но не
    """.split()  # noqa: SIM905
)
"""Negations, conditions, limits and modal verbs: a sentence may say the contrary with one more of these."""
NEUTRAL_WORDS: Final = FUNCTION_WORDS - _CHANGE_THE_SENSE
"""Function words that say nothing by themselves: without other words they are no instruction."""
