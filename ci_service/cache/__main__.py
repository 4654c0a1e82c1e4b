"""`python -m ci_service.cache` is `procurator-cache`; it adds nothing."""

from ci_service.cache.app import main

main()
