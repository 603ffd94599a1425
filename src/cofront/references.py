"""The works that formulas, tables and methods here come from, by the key used in docstrings."""

from __future__ import annotations

REFERENCES: dict[str, str] = {
    "HAO21": "Dong, Gao, Huang, Wawrzynek, So, Keutzer. HAO: Hardware-aware Neural Architecture Optimization for "
    "Efficient Inference. FCCM 2021, arXiv:2104.12766.",
    "CoDeNet21": "Huang, Wang, Gao, Cai, Dong, Wawrzynek, Keutzer. CoDeNet: Efficient Deployment of Input-Adaptive "
    "Object Detection on Embedded FPGAs. FPGA 2021, arXiv:2006.08357.",
    "HAWQV2": "Dong, Yao, Arfeen, Gholami, Mahoney, Keutzer. HAWQ-V2: Hessian Aware trace-Weighted Quantization of "
    "Neural Networks. NeurIPS 2020, arXiv:1911.03852.",
    "HAWQV3": "Yao, Dong, Zheng, Gholami, Yu, Tan, et al. HAWQ-V3: Dyadic Neural Network Quantization. ICML 2021, "
    "arXiv:2011.10680.",
    "OFA20": "Cai, Gan, Wang, Zhang, Han. Once-for-All: Train One Network and Specialize it for Efficient Deployment. "
    "ICLR 2020, arXiv:1908.09791.",
    "BigNAS20": "Yu, Jin, Liu, Bender, Kindermans, Tan, et al. BigNAS: Scaling Up Neural Architecture Search with Big "
    "Single-Stage Models. ECCV 2020, arXiv:2003.11142.",
    "MBV2": "Sandler, Howard, Zhu, Zhmoginov, Chen. MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018, "
    "arXiv:1801.04381.",
    "MBV3": "Howard, Sandler, Chu, Chen, Chen, Tan, et al. Searching for MobileNetV3. ICCV 2019, arXiv:1905.02244.",
    "MnasNet": "Tan, Chen, Pang, Vasudevan, Sandler, et al. MnasNet: Platform-Aware Neural Architecture Search for "
    "Mobile. CVPR 2019, arXiv:1807.11626.",
    "FBNet19": "Wu, Dai, Zhang, Wang, Sun, et al. FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable "
    "Neural Architecture Search. CVPR 2019, arXiv:1812.03443.",
    "DARTS19": "Liu, Simonyan, Yang. DARTS: Differentiable Architecture Search. ICLR 2019, arXiv:1806.09055.",
    "EHDNAS21": "Jiang, Zhang, Chen, Do, Yeh. EH-DNAS: End-to-End Hardware-aware Differentiable Neural Architecture "
    "Search. 2021, arXiv:2111.12299.",
    "LightNAS22": "Luo, Liu, Kong, Huai, Chen, Liu. LightNAS: On Lightweight and Scalable Neural Architecture Search "
    "for Embedded Platforms. IEEE TCAD 2022, arXiv:2208.14446.",
    "ResNet": "He, Zhang, Ren, Sun. Deep Residual Learning for Image Recognition. CVPR 2016, arXiv:1512.03385.",
    "EffNetLite": "Liu, Tan. EfficientNet-Lite, 2020; after Tan, Le. EfficientNet. ICML 2019, arXiv:1905.11946.",
    "NSGA2": "Deb, Pratap, Agarwal, Meyarivan. A fast and elitist multiobjective genetic algorithm: NSGA-II. IEEE TEC "
    "6(2), 2002.",
    "UCT": "Kocsis, Szepesvari. Bandit based Monte-Carlo Planning. ECML 2006.",
    "Roofline": "Williams, Waterman, Patterson. Roofline: an insightful visual performance model. CACM 52(4), 2009.",
    "Horowitz14": "Horowitz. Computing's energy problem (and what we can do about it). ISSCC 2014.",
    "Jacob18": "Jacob, Kligys, Chen, Zhu, Tang, et al. Quantization and Training of Neural Networks "
    "for Efficient Integer-Arithmetic-Only Inference. CVPR 2018, arXiv:1712.05877.",
    "LANA21": "Molchanov, Hall, Yin, Kautz, Fusi, Vahdat. LANA: Latency Aware Network Acceleration. ECCV 2022, "
    "arXiv:2107.10624.",
    "NASA22": "Shi, You, Zhao, Wang, Lin. NASA: Neural Architecture Search and Acceleration for Hardware Inspired "
    "Hybrid Networks. ICCAD 2022, arXiv:2210.13361.",
    "DeepShift21": "Elhoushi, Chen, Shafiq, Tian, Li. DeepShift: Towards Multiplication-Less Neural Networks. CVPR "
    "Workshops 2021, arXiv:1905.13298.",
    "AdderNet20": "Chen, Wang, Xu, Shi, Xu, Tian, Xu. AdderNet: Do We Really Need Multiplications in Deep Learning? "
    "CVPR 2020, arXiv:1912.13200.",
    "ShiftAddNet20": "You, Chen, Zhang, Li, Li, Liu, Wang, Lin. ShiftAddNet: A Hardware-Inspired Deep Network. NeurIPS "
    "2020, arXiv:2010.12785.",
    "Eyeriss16": "Chen, Emer, Sze. Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for Convolutional "
    "Neural Networks. ISCA 2016.",
    "NB201": "Dong, Yang. NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search. ICLR 2020, "
    "arXiv:2001.00326.",
    "HWNAS21": "Li, Yu, Fu, Zhang, Zhao, You, et al. HW-NAS-Bench: Hardware-Aware Neural Architecture Search "
    "Benchmark. ICLR 2021, arXiv:2103.10584.",
    "MCTNAS21": "Su, Huang, Li, You, Wang, Qian, Zhang, Xu. Prioritized Architecture Sampling with Monto-Carlo Tree "
    "Search. CVPR 2021, arXiv:2103.11922.",
    "ANB24": "Ahmad, Balaprakash, et al. Accel-NASBench: Sustainable Benchmarking for Accelerator-Aware NAS. 2024, "
    "arXiv:2404.08005.",
    "HELP21": "Lee, Lee, Chong, Hwang. HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via "
    "Meta-Learning. NeurIPS 2021, arXiv:2106.08630.",
    "OneProxy21": "Lu, Yang, Jiang, Shi, Ren. One Proxy Device Is Enough for Hardware-Aware Neural Architecture "
    "Search. SIGMETRICS 2022, arXiv:2111.01203.",
    "BRPNAS20": "Dudziak, Chau, Abdelfattah, Lee, Kim, Lane. BRP-NAS: Prediction-based NAS using GCNs. NeurIPS 2020, "
    "arXiv:2007.08668.",
    "nnMeter21": "Zhang, Han, Wei, Zheng, Cao, Yang, Liu. nn-Meter: Towards Accurate Latency Prediction of "
    "Deep-Learning Model Inference on Diverse Edge Devices. MobiSys 2021.",
    "MetaSGD17": "Li, Zhou, Chen, Li. Meta-SGD: Learning to Learn Quickly for Few-Shot Learning. arXiv:1707.09835.",
    "QONNX": "Pappalardo, Umuroglu, Blott, Mitrevski, Hawks, Tran, et al. QONNX: Representing Arbitrary-Precision "
    "Quantized Neural Networks. arXiv:2206.07527.",
    "HAQ19": "Wang, Liu, Lin, Lin, Han. HAQ: Hardware-Aware Automated Quantization with Mixed Precision. CVPR 2019, "
    "arXiv:1811.08886.",
    "AdaRound20": "Nagel, Amjad, van Baalen, Louizos, Blankevoort. Up or Down? Adaptive Rounding for Post-Training "
    "Quantization. ICML 2020, arXiv:2004.10568.",
    "QuantEase23": "Behdin, Acharya, Gupta, Song, Zhu, Keerthi, et al. QuantEase: Optimization-based Quantization for "
    "Language Models. 2023, arXiv:2309.01885.",
    "LSQ20": "Esser, McKinstry, Bablani, Appuswamy, Modha. Learned Step Size Quantization. ICLR 2020, "
    "arXiv:1902.08153.",
    "DDPG15": "Lillicrap, Hunt, Pritzel, Heess, Erez, Tassa, Silver, Wierstra. Continuous control with deep "
    "reinforcement learning. ICLR 2016, arXiv:1509.02971.",
    "BISMO18": "Umuroglu, Rasnayake, Sjalander. BISMO: A Scalable Bit-Serial Matrix Multiplication Overlay for "
    "Reconfigurable Computing. FPL 2018, arXiv:1806.08862.",
    "BitFusion18": "Sharma, Park, Suda, Lai, Chau, Kim, Chandra, Esmaeilzadeh. Bit Fusion: Bit-Level Dynamically "
    "Composable Architecture for Accelerating Deep Neural Networks. ISCA 2018, arXiv:1712.01507.",
    "DeepCompression15": "Han, Mao, Dally. Deep Compression: Compressing Deep Neural Networks with Pruning, Trained "
    "Quantization and Huffman Coding. ICLR 2016, arXiv:1510.00149.",
    "UG579": "AMD. UltraScale Architecture DSP Slice User Guide, UG579.",
}


def cite(key: str) -> str:
    """The full reference of a key such as "HAO21"."""
    return REFERENCES[key]
