# %%
import random
import re
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
