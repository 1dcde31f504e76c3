# rlopt serve in a container: no root, no compiler, no shell needed.
#
#   docker build -t rlopt .
#   docker run -p 127.0.0.1:8000:8000 -v "$PWD/runs:/runs:ro" -e RLOPT_SERVE_TOKEN rlopt --run /runs/default
#
# TORCH_INDEX names the index that torch is taken from: pytorch.org lists one for processors alone (a gigabyte smaller)
# and one for each CUDA. Without it pip's own index gives what it has for this platform.

ARG PYTHON=3.13
FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=""
ARG EXTRAS="serve"
WORKDIR /src
RUN python -m venv /opt/rlopt
COPY constraints.txt pyproject.toml setup.py README.md LICENSE ./
RUN /opt/rlopt/bin/pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY rlopt rlopt
COPY reward reward
COPY envs envs
COPY configs configs
RUN /opt/rlopt/bin/pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON}-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin rlopt \
    && mkdir /runs /data && chown rlopt /data
COPY --from=build /opt/rlopt /opt/rlopt
ENV PATH=/opt/rlopt/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
WORKDIR /data
USER rlopt
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["rlopt", "serve", "--host", "0.0.0.0", "--port", "8000"]
