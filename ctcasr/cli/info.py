"""`ctcasr info`."""

import json

import click

from ctcasr.cli.options import command


@command("info", "ctcasr info exp/mine", "ctcasr info en-alnum --json")
@click.argument("model", metavar="MODEL")
@click.option("--json", "as_json", is_flag=True, help="Print the whole header as JSON.")
def info_command(model: str, as_json: bool) -> int:
    """Say what a model is: what it hears, writes and learned from."""
    from ctcasr.bundle import describe_recognizer, find_model, load
    from ctcasr.reporting.model_card import render_model_facts

    recognizer = load(model, device="cpu")
    if as_json:
        click.echo(
            json.dumps(dict(recognizer.header), indent=2, ensure_ascii=False, sort_keys=True)
        )
    else:
        facts = describe_recognizer(recognizer, num_bytes=find_model(model).stat().st_size)
        click.echo(render_model_facts(facts), nl=False)
    return 0
