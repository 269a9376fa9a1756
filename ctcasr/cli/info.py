"""`ctcasr info`."""

import json

import click


@click.command("info")
@click.argument("model", metavar="MODEL")
@click.option("--json", "as_json", is_flag=True, help="Print the whole header as JSON.")
def info_command(model: str, as_json: bool) -> int:
    """Say what a model is: what it hears, writes and learned from."""
    from ctcasr.model_file import read_model
    from ctcasr.recognizer import find_model
    from ctcasr.reporting.model_card import render_model_facts

    path = find_model(model)
    stored = read_model(path)
    if as_json:
        click.echo(json.dumps(dict(stored.header), indent=2, ensure_ascii=False, sort_keys=True))
    else:
        num_parameters = sum(tensor.numel() for tensor in stored.tensors.values())
        click.echo(
            render_model_facts(
                stored.header,
                name=path.stem,
                sha256=stored.sha256,
                num_parameters=num_parameters,
                num_bytes=path.stat().st_size,
            ),
            nl=False,
        )
    return 0
