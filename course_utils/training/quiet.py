"""Hugging Face's libraries without their noise, and without a trace in the global generators."""

import contextlib
import logging as standard
import random
import warnings

import numpy as np
import torch


@contextlib.contextmanager
def quiet():
    """Without warnings and progress bars; the trainers seed the global generators, which are put back.

    One of the warnings is about the class weights: trl holds them against the interval of the paper's first
    version, and `kto_weights` against that of the current one.
    """
    import datasets
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled(), datasets.are_progress_bars_disabled()
    verbosity, trl = logging.get_verbosity(), standard.getLogger("trl")
    level = trl.level
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    trl.setLevel(standard.ERROR)
    states = random.getstate(), np.random.get_state()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        logging.set_verbosity(verbosity)
        trl.setLevel(level)
        if bars[0]:
            logging.enable_progress_bar()
        if not bars[1]:
            datasets.enable_progress_bars()
