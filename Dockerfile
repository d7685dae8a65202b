# One file, two images: `service` answers requests (no torch, no onnx, no compiler), `train` makes models.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS sources
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY service service
COPY training training
COPY export export

# Each image gets a virtual environment without pip in it: what serves cannot install.
FROM sources AS service-environment
# For traces: docker compose build --build-arg EXTRAS=service,tracing service
ARG EXTRAS=service
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/foldserve \
 && pip --python /opt/foldserve/bin/python install --constraint constraints.txt ".[${EXTRAS}]"
# What the wheels carry beyond running a model: the other stages, onnxruntime's converters, numpy's
# Fortran, the certificates of gRPC's clients, the grammars of rich's colours and everybody's tests.
RUN cd /opt/foldserve/lib/python*/site-packages \
 && rm -rf training export /opt/foldserve/bin/foldserve-train /opt/foldserve/bin/foldserve-export \
    onnxruntime/transformers onnxruntime/tools onnxruntime/quantization onnxruntime/datasets \
    numpy/f2py grpc/_cython/_credentials pygments/lexers/[a-z]* pygments/lexers/__pycache__ \
 && find . -type d -name tests -prune -exec rm -rf {} +

FROM python:${PYTHON_VERSION}-slim AS service
COPY --from=service-environment /opt/foldserve /opt/foldserve
ENV PATH=/opt/foldserve/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    FOLDSERVE_HOST=0.0.0.0 \
    FOLDSERVE_MODELS=/models
WORKDIR /
USER 10001:10001
EXPOSE 8000
# The start interval lets `docker compose up --wait` return soon after the models are loaded.
# The command reads the same settings as the server: another port, and TLS, are no matter.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["foldserve-serve", "health"]
CMD ["foldserve-serve"]

# PyPI's torch for Linux carries CUDA. For a small CPU image, pass PyTorch's CPU index as
# PIP_EXTRA_INDEX_URL, or put wheels of your own into the folder `wheels` beside this file.
FROM sources AS train-environment
ARG PIP_EXTRA_INDEX_URL=
# The pattern lets the folder be missing; the file is there because COPY must find something.
COPY pyproject.toml wheel[s] /wheels/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/foldserve \
 && pip --python /opt/foldserve/bin/python install --find-links /wheels --constraint constraints.txt '.[training,export]'

FROM python:${PYTHON_VERSION}-slim AS train
COPY --from=train-environment /opt/foldserve /opt/foldserve
# matplotlib and torch want a folder for their caches; the root file system is read-only.
ENV PATH=/opt/foldserve/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/tmp
WORKDIR /work
# A new volume mounted here takes over this folder's mode: any user may train.
RUN mkdir --mode=1777 runs
USER 10001:10001
COPY training/configs /configs
CMD ["sh", "-c", "foldserve-train /configs/digits.toml && exec foldserve-export build runs/digits/checkpoint.safetensors --name digits --version 1 --output /models --force"]
