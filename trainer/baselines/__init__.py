"""Classical learners on vectors of segments: yardsticks for the networks, scored as they are."""
