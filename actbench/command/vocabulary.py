"""Tables of other names for choices, keys and values, and of common choices that actbench does not have."""

from __future__ import annotations

import re


def plain(word: str) -> str:
    """A word without case, blanks, hyphens and underscores, by which names are compared.

    >>> plain("Leaky-ReLU") == plain("leaky_relu")
    True
    """
    return re.sub(r"[\s_-]+", "", word.lower())


# group -> choice -> what else it is called; written so that `plain` leaves them as they are
CHOICES: dict[str, dict[str, str]] = {
    "activation": {
        "leaky_relu": "lrelu leaky lkrelu leakyrectifiedlinear",
        "relu": "rectifier rectifiedlinear rectified rectifiedlinearunit",
        "silu": "swish1 sil sigmoidlinear sigmoidlinearunit",
        "swish": "swishbeta trainableswish",
        "hardswish": "hswish hardsilu",
        "hardtanh": "htanh clippedlinear",
        "sigmoid": "logistic sigm sigma",
        "tanh": "hyperbolictangent th",
        "identity": "linear none id noop null",
        "prelu": "parametricrelu paramrelu",
        "gelu": "gaussian gaussianerrorlinear gelutanh quickgelu",
        "elu": "exponentiallinear",
        "selu": "scaledelu snn",
        "squared_relu": "relu2 relu^2 relusquared sqrelu reluˆ2",
        "acon": "aconc metaacon",
        "softplus": "softrelu",
        "topk": "kwta kwinners winnertakeall topkrelu sparse",
    },
    "init": {
        "he_normal": "he kaiming kaimingnormal henormal msra",
        "he_uniform": "kaiminguniform heuniform",
        "xavier_normal": "xavier glorot glorotnormal",
        "xavier_uniform": "glorotuniform",
        "lecun_normal": "lecun",
        "orthogonal": "ortho",
        "torch_default": "default pytorch torch none pytorchdefault",
    },
    "model": {
        "mlp": "dnn fc fcn dense feedforward multilayerperceptron perceptron ffn fnn",
        "cnn": "convnet conv lenet lenet5 convolutional smallcnn",
        "deep_cnn": "lenet4 deepconv",
        "vit": "transformer visiontransformer",
        "hybrid": "hybridblock",
    },
    "norm": {
        "batch": "bn batchnorm batchnormalization batchnormalisation",
        "layer": "ln layernorm layernormalization layernormalisation",
        "none": "off no false nonorm",
    },
    "optimizer": {
        "sgd": "vanilla gd plainsgd stochasticgradientdescent",
        "momentum": "sgdm sgdmomentum heavyball",
        "nesterov": "nag nesterovmomentum",
        "adamw": "adamweightdecay",
        "rmsprop": "rms",
    },
    "scheduler": {
        "constant": "none off no fixed const",
        "cosine": "cos cosineannealing cosineannealinglr",
        "warmup_cosine": "warmup cosinewarmup linearwarmup",
        "onecycle": "1cycle onecyclelr",
        "step": "steplr multistep",
        "exponential": "exp exponentiallr",
    },
    "clip": {
        "norm": "gradnorm clipnorm clipgradnorm gradientnorm true on",
        "value": "gradvalue clipvalue clipgradvalue",
        "none": "off no false",
    },
    "dataset": {
        "mnist": "minst mnst handwritten mnistdigits",
        "fashion_mnist": "fashion fmnist fashionmnist",
        "kmnist": "kuzushiji kuzushijimnist",
        "digits": "sklearn digit sklearndigits uci optdigits",
    },
    "augment": {
        "shift_rotate": "shift rotate affine rotation translate true on",
        "flip": "hflip mirror horizontalflip randomflip randomhorizontalflip",
        "crop": "randomcrop padcrop cropflip cropandflip",
        "none": "off no false",
    },
}

# group -> names of a choice that is missing -> what to answer
ABSENT: dict[str, dict[str, str]] = {
    "activation": {
        "siren sine sin snake cosine": "no periodic one is here; one of your own is a YAML file: README, Something of your own",
        "softmax logsoftmax sparsemax softmin": "it is no elementwise activation; the loss has a softmax of its own",
        "glu swiglu geglu reglu bilinear": "model.gated=true puts a gate before the activation: activation=silu for SwiGLU, gelu for GEGLU",
        "maxout crelu": "it changes the number of units, which no activation here does",
    },
    "model": {
        "resnet resnet18 resnet50 residual": "a network of your own is named by its module: model=mynet:Net; model=mlp model.residual=true has skips",
        "rnn lstm gru": "recurrent networks are not here; one of your own is named by its module: model=mynet:Net",
        "vgg alexnet": "near to it: model=deep_cnn",
    },
    "norm": {"group groupnorm instance instancenorm rmsnorm weightnorm": "there are batch, layer and none"},
    "optimizer": {"lion muon lbfgs adadelta adamax lamb sophia adafactor": "not here, but one YAML file adds it: conf/optimizer"},
    "dataset": {
        "cifar cifar10 cifar100 imagenet svhn stl10 tinyimagenet emnist": (
            "dataset=torchvision dataset.name=CIFAR10 takes one of torchvision's by its name, dataset=images a folder of yours"
        ),
    },
    "scheduler": {"plateau reducelronplateau": "it looks at the loss, which none here does; near to it: cosine, step"},
}  # fmt: skip

# key -> what else it is called
KEYS: dict[str, str] = {
    "activation": "act actfn activationfunction activations nonlinearity nonlin fn func function actfun",
    "init": "initialization initialisation initializer initialiser weightinit inits",
    "model": "network net arch architecture models",
    "norm": "normalization normalisation norms",
    "optimizer": "opt optim optimiser optimizers",
    "scheduler": "sched lrscheduler schedule lrschedule schedulers",
    "clip": "clipping gradclip gradientclipping clipgrad",
    "dataset": "data datasets",
    "augment": "augmentation aug augmentations transforms",
    "experiment": "exp preset experiments recipe",
    "optimizer.lr": "lr learningrate alphalr eta stepsizelr optimizerlearningrate",
    "optimizer.weight_decay": "wd l2 weightdecay",
    "probe_every": "probeevery every probesteps logevery",
    "train.epochs": "epochs epoch nepochs numepochs maxepochs e iterations",
    "train.batch_size": "bs batch batchsize trainbatchsize minibatch",
    "train.eval_batch_size": "evalbatch testbatchsize valbatchsize evalbatchsize",
    "train.device": "device gpu dev accelerator",
    "train.threads": "threads nthreads numthreads cores cpus",
    "workers": "numworkers nworkers processes numprocesses",
    "train.precision": "precision amp dtype mixedprecision",
    "train.execution": "execution stacking stacked",
    "train.engine": "engine compile backend",
    "train.memory_format": "memoryformat",
    "num_seeds": "seeds nseeds numseed seedscount repeats runs nruns replicas",
    "seed": "randomseed rng randomstate manualseed",
    "dropout": "dropoutrate pdrop droprate dropoutp",
    "model.depth": "depth layers nlayers numlayers hiddenlayers numhiddenlayers nhidden",
    "model.width": "width hidden hiddensize hiddendim units neurons hiddenunits hiddenwidth",
    "model.channels": "channels filters",
    "model.residual": "residual skip skips resnet",
    "dataset.train_size": "trainsize samples nsamples trainsamples subset",
    "dataset.scaling": "scaling scale inputscaling scaleinputs standardize standardise",
    "study": "name runname studyname expname experimentname tag",
    "output_dir": "out outdir output outputs outputdir savedir logdir dir folder outputfolder",
    "quantise": "quantize quantization quantisation int8",
    "tensorboard": "tb",
    "probe": "probes",
    "weights": "pretrained checkpoint ckpt statedict finetune",
    "hydra.launcher.n_jobs": "njobs jobs parallel",
    "hydra.sweeper.n_trials": "ntrials trials",
    "hydra.sweeper.direction": "direction",
}

# key -> value -> what else it is called
VALUES: dict[str, dict[str, str]] = {
    "train.device": {"cuda": "gpu nvidia cudagpu cuda:all true", "cuda:0": "gpu0 gpu:0 cuda0", "mps": "metal apple m1 m2", "cpu": "cpu:0 cpu0"},
    "train.precision": {"bf16": "bfloat16 fp16 float16 half amp 16 mixed", "fp32": "float32 32 single full float", "tf32": "tensorfloat32"},
    "train.execution": {"stacked": "stack together batched vmap parallel true", "seed_by_seed": "sequential serial single alone oneatatime false"},
    "train.engine": {"compiled": "compile torchcompile torch.compile inductor", "graph": "cudagraph cudagraphs graphs", "eager": "plain normal"},
    "train.memory_format": {"channels_last": "nhwc channelslast", "contiguous": "nchw channelsfirst"},
    "quantise": {"int8": "true 8 8bit i8 on yes", "none": "false off no null"},
    "init.mode": {"fan_in": "fanin in", "fan_out": "fanout out"},
    "init.gain": {"auto": "automatic default"},
    "activation.approximate": {"tanh": "true approx", "none": "false exact erf"},
    "scheduler.interval": {"epoch": "epochs", "step": "steps batch batches"},
}  # fmt: skip
SWITCH = {"true": "yes on 1 y", "false": "no off 0 n none null"}

# key -> what to say where its value cannot be (a list, a word, ...)
HINTS: dict[str, str] = {
    "model.width": "a number for all of model.depth hidden layers, or a list with one for each: model.width=[256,128]",
    "seed": "the first seed; num_seeds=3 trains three from there, together",
    "num_seeds": "how many; which they are, seed says: seed=7 num_seeds=3 are 7, 8 and 9",
    "study": "a folder within output_dir: output_dir=a/b study=c is a/b/c",
}


def called(table: dict[str, str], word: str) -> str:
    """The entry that `word` is another name of; an empty string where there is none."""
    short = plain(word)
    return next((name for name, others in table.items() if short in map(plain, others.split())), "")


def said_of(group: str, word: str) -> str:
    """The answer to a choice that is missing on purpose; an empty string for any other."""
    return next((text for words, text in ABSENT.get(group, {}).items() if plain(word) in words.split()), "")


# Settings of Hydra that actbench does not allow to change: key -> what to type instead. The longest prefix counts.
DOORS: dict[str, str] = {
    "hydra": "what may be changed: hydra/launcher, hydra/sweeper and their parameters",
    "hydra.run": "output_dir=FOLDER study=NAME say where a run goes",
    "hydra.sweep": "output_dir=FOLDER study=NAME say where the runs go",
    "hydra.job": "study=NAME gives what you run a name",
    "hydra.job.env_set": "set it in the shell: NAME=VALUE actbench ...",
    "hydra.job.env_copy": "set it in the shell: NAME=VALUE actbench ...",
    "hydra.job.chdir": "leave it out: paths count from where you type",
    "hydra.callbacks": "leave it out: what a run writes, it writes by itself",
    "hydra/callbacks": "leave it out: what a run writes, it writes by itself",
    "hydra.searchpath": "put your own choices into a `conf` folder beside where you type",
    "hydra.job_logging": "`> FILE` keeps what is printed",
    "hydra/job_logging": "`> FILE` keeps what is printed",
    "hydra.hydra_logging": "`> FILE` keeps what is printed",
    "hydra/hydra_logging": "`> FILE` keeps what is printed",
    "hydra.verbose": "actbench --cfg job shows the configuration",
    "hydra.output_subdir": "leave it out: environment.json of a run has its overrides",
    "hydra/output": "output_dir=FOLDER study=NAME say where a run goes",
    "hydra.mode": "actbench -m ... is a sweep",
    "hydra.help": "actbench --help",
    "hydra/help": "actbench --help",
    "hydra/hydra_help": "actbench --hydra-help",
    "hydra.hydra_help": "actbench --hydra-help",
    "hydra/env": "set it in the shell: NAME=VALUE actbench ...",
    "hydra.env": "set it in the shell: NAME=VALUE actbench ...",
    "hydra.launcher._target_": "hydra/launcher=NAME, of an installed launcher",
    "hydra.sweeper._target_": "hydra/sweeper=NAME, of an installed sweeper",
    "hydra.sweeper.params": "what is swept is typed by itself: actbench -m KEY=a,b",
    "hydra.sweeper.custom_search_space": "type what is searched: 'optimizer.lr=interval(1e-4,1e-1)'",
}
