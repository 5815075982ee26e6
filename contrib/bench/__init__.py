"""The benchmark: server CPU per message of the gateway beside other relays, in one run. No part of the gateway."""
