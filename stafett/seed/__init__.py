"""What a development stack is filled with: organisations, people, activities and attachments, none of them real."""

from stafett.seed.organisations import dev_user_id, seed_organisations
from stafett.seed.seeding import SeedError, Seeding, SeedReport, seed

__all__ = ["SeedError", "SeedReport", "Seeding", "dev_user_id", "seed", "seed_organisations"]
