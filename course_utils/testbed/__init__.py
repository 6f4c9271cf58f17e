"""Small worlds in which everything true is known; none of these modules holds an answer."""
