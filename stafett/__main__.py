from stafett.cli import run

run()
