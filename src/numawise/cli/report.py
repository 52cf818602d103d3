"""`numawise report`: a stored run again, as a page, a table or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from numawise.cli.shared.options import json_option
from numawise.errors import NumawiseError, UsageError
from numawise.machine.codec import to_json

if TYPE_CHECKING:
    from numawise.experiment.store import Store


@click.command("report")
@click.argument("run", required=False)
@click.option(
    "--html", "html_path", metavar="FILE", type=click.Path(path_type=Path), help="Write the page to FILE."
)
@click.option(
    "--csv", "csv_path", metavar="FILE", type=click.Path(path_type=Path), help="Write every trial to FILE."
)
@click.option("--list", "as_list", is_flag=True, help="List the runs kept on this machine.")
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
@json_option
def command(
    run: str | None,
    *,
    html_path: Path | None,
    csv_path: Path | None,
    as_list: bool,
    no_open: bool,
    as_json: bool,
) -> None:
    """Open or rebuild the report of RUN (the beginning of its id is enough), or of the newest run."""
    from numawise.experiment.store import Store
    from numawise.report import csv, html, json_forms

    with Store.open() as store:
        if as_list:
            _show_list(store, as_json=as_json)
            return
        if run is None:
            newest = next(iter(store.list()), None)
            if newest is None:
                raise UsageError(f"no run is kept in {store.path} yet; numawise tune makes one")
            run = newest.id
        study = store.study(run)
        trials, outcome = store.trials(study.id), store.outcome(study.id)
        folder = store.path.parent
    if csv_path is not None:
        csv.write(csv_path, study, trials)
        click.echo(f"table: {csv_path}", err=as_json)
    if as_json:
        click.echo(to_json(json_forms.study_json(study, trials, outcome), indent=2))
    if html_path is None and (as_json or csv_path is not None):
        return
    from numawise.linux.home import ensure_folder

    page = html_path or ensure_folder(folder / "reports") / f"{study.id}.html"
    html.write(page, study, trials, outcome)
    click.echo(f"page: {page}", err=as_json)
    if html_path is None and not no_open:
        _open(page)


def _show_list(store: Store, *, as_json: bool) -> None:
    import shlex
    import time

    from numawise.report.words import clean

    runs = store.list()
    if as_json:
        click.echo(to_json(runs, indent=2))
        return
    if not runs:
        click.echo(f"no run is kept in {store.path} yet; numawise tune makes one")
    for one in runs:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.created))
        state = one.verdict or "not finished"
        words = clean(shlex.join(one.command))
        click.echo(f"{one.id}  {when}  {one.kind:<7}  {one.trials:>4} trials  {state:<13}  {words}")


def _open(page: Path) -> None:
    """Show the page where there is a desktop; elsewhere its path, which was printed, is all one needs."""
    import os
    import webbrowser

    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    try:
        webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError) as error:
        raise NumawiseError(
            f"could not open a browser ({error}); open {page} yourself, or use --no-open"
        ) from None
