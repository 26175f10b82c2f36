"""Colors that several figures and the explorers share."""

TARGET = "#008a3e"  # the frame of a target, which is also thicker than others, for readers who do not see green
OKABE_ITO = ("#E69F00", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9")  # distinct with any color vision
