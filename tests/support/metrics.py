"""Metrics of a running stack, as Prometheus reads them."""

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stafett.testing import wait_until
from tests.support.dev_stack import DevStack


@dataclass(frozen=True)
class Counter:
    """A series of a counter, with the value that it had when the test started to watch it."""

    scraper: "Scraper"
    name: str
    labels: dict[str, str]
    start: float

    async def wait_for_increase(self, number: float = 1) -> None:
        """Wait for at least this increase: jobs of other tests may still be running, and count too."""

        async def read() -> float:
            return await self.scraper.read(self.name, **self.labels)

        await wait_until(read, lambda value: value >= self.start + number)


class Scraper:
    """Reads the metrics of the API and the worker of a stack."""

    def __init__(self, dev_stack: DevStack, client: httpx.AsyncClient) -> None:
        urls = dev_stack.stack_json["metrics_urls"]
        self._urls, self._client = [urls["api"], *urls["worker"]], client

    async def scrape(self) -> list[Sample]:
        texts = [(await self._client.get(url)).raise_for_status().text for url in self._urls]
        return [
            sample for text in texts for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    async def read(self, name: str, **labels: str) -> float:
        """Add up the samples of the metric that have the labels."""
        samples = await self.scrape()
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    async def watch(self, name: str, **labels: str) -> Counter:
        return Counter(self, name, labels, await self.read(name, **labels))
